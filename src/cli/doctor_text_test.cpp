#include "cli/doctor_text.h"

#include <gtest/gtest.h>

#include "report/test_lock_place.h"

namespace gpu_gate {
namespace {

constexpr const char* kPlaceText =
    "lock directory: /run/gpu-gate, made for all users (root, 1777, tmpfs)\n";

const Finding a_lost_gpu{.level = Level::fault,
                         .subject = "GPU 2",
                         .what = "it is lost",
                         .remedy = "sudo reboot  # and wait for it to come up again"};
const Finding a_remark{.level = Level::note, .subject = "x", .what = "y", .remedy = "z"};

TEST(DoctorText, IsOneLineWhereNothingIsWrong) {
  EXPECT_EQ(doctor_text({}, sound_place(), {}), std::string("nothing wrong; ") + kPlaceText);
}

TEST(DoctorText, IsALineForEachFindingAndTheRemedyBelow) {
  EXPECT_EQ(doctor_text({a_lost_gpu, a_remark}, sound_place(), {}),
            std::string("fault  GPU 2: it is lost\n"
                        "         sudo reboot  # and wait for it to come up again\n"
                        "note   x: y\n"
                        "         z\n"
                        "1 fault, 1 note; ") +
                kPlaceText);
}

TEST(DoctorText, CountsFaultsAndNotes) {
  const auto summary = [](const std::vector<Finding>& findings) {
    const std::string text = doctor_text(findings, sound_place(), {});
    const std::size_t last = text.rfind('\n', text.size() - 2);
    return text.substr(last + 1, text.find(';', last) - last - 1);
  };
  EXPECT_EQ(summary({a_lost_gpu}), "1 fault");
  EXPECT_EQ(summary({a_lost_gpu, a_lost_gpu}), "2 faults");
  EXPECT_EQ(summary({a_remark}), "no faults, 1 note");
  EXPECT_EQ(summary({a_lost_gpu, a_remark, a_remark}), "1 fault, 2 notes");
}

TEST(DoctorText, BreaksWhatIsSaidToFitATerminalAndNeverARemedy) {
  EXPECT_EQ(doctor_text({a_lost_gpu}, sound_place(), 20),
            "fault  GPU 2: it is lost\n"
            "         sudo reboot  # and wait for it to come up again\n"
            "1 fault; lock directory:\n"
            "/run/gpu-gate, made for all\n"
            "users (root, 1777, tmpfs)\n");
}

TEST(DoctorText, SaysWhetherThereIsALockDirectoryYet) {
  LockPlace place;
  place.path = "/tmp/\x1b[2J/x";
  place.paths.chosen = place.path;
  EXPECT_EQ(
      doctor_text({}, place, {}),
      "nothing wrong; lock directory: /tmp/\\x1b[2J/x, from GPU_GATE_LOCK_DIR (not made yet)\n");
  EXPECT_EQ(doctor_text({}, {}, {}), "nothing wrong; lock directory: none\n");
}

}  // namespace
}  // namespace gpu_gate
