#include "history/entry.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

HistoryEntry full_entry() {
  HistoryEntry entry;
  entry.uid = 7;
  entry.claim = 1795788030324;
  entry.within = 1795788030000;
  entry.begin_ms = 1795788031103;
  entry.waited_ms = 12;
  entry.boot = "7fceab16-7929-408d-a6cd-789cac3bf9c8";
  entry.booted_ms = 1795710133336;
  entry.pid = 4242;
  entry.start_ticks = 7789776;
  entry.pid_namespace = 4026531836;
  entry.with_process = true;
  entry.command = "a \"{\"\n\xff";
  entry.note = "night \xE2\x98\x83";
  entry.devices = {{.uuid = "GPU-1", .label = "1", .name = "L40S", .pci = "0000:10:00.0"},
                   {.uuid = "MIG-2", .label = "2:0", .name = "1g", .pci = "", .thousandths = 142}};
  entry.share_mib = 8000;
  return entry;
}

TEST(HistoryLine, IsReadAsItWasWritten) {
  const HistoryEntry entry = full_entry();
  const auto read = parse_line(to_line(entry), 7);
  ASSERT_TRUE(read);
  EXPECT_EQ(to_line(*read).substr(0, 300), to_line(entry).substr(0, 300));
  EXPECT_EQ(read->uid, 7U);
  EXPECT_EQ(read->claim, entry.claim);
  EXPECT_EQ(read->within, entry.within);
  EXPECT_EQ(read->begin_ms, entry.begin_ms);
  EXPECT_EQ(read->waited_ms, 12);
  EXPECT_EQ(read->boot, entry.boot);
  EXPECT_EQ(read->pid, 4242);
  EXPECT_EQ(read->start_ticks, entry.start_ticks);
  EXPECT_TRUE(read->with_process);
  EXPECT_EQ(read->note, entry.note);
  EXPECT_EQ(read->share_mib, 8000);
  EXPECT_FALSE(read->end_ms);
  ASSERT_EQ(read->devices.size(), 2U);
  EXPECT_EQ(read->devices[1].label, "2:0");
  EXPECT_EQ(read->devices[1].thousandths, 142);
  EXPECT_EQ(read->devices[0].thousandths, 1000);
  EXPECT_EQ(read->devices[0].pci, "0000:10:00.0");
}

TEST(HistoryLine, IsOneLineOfAsciiWhoseBeginStandsNowhereElseInIt) {
  const std::string line = to_line(full_entry());
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(line.rfind("{\""), 0U);
  for (const char c : line) EXPECT_TRUE(c >= 0x20 && c < 0x7F);
}

TEST(HistoryLine, OfTheEndIsThatOfTheBeginWithOneNumberMore) {
  const auto read = parse_line(with_end(to_line(full_entry()), 1795788041103), 7);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->end_ms, 1795788041103);
  EXPECT_EQ(read->claim, full_entry().claim);
}

TEST(HistoryLine, ThatIsNotWholeOrOutOfBoundsIsNone) {
  const std::string line = to_line(full_entry());
  for (std::size_t size = 0; size < line.size(); ++size) {
    EXPECT_FALSE(parse_line(line.substr(0, size), 7)) << size;
  }
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = line;
    const auto at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return parse_line(changed.replace(at, from.size(), to), 7).has_value();
  };
  EXPECT_TRUE(with("\"version\":1", "\"version\":2"));
  EXPECT_TRUE(with("\"version\":1", "\"version\":1,\"more\":[[[[[[[1]]]]]]]"));
  EXPECT_FALSE(with("\"version\":1", "\"version\":1,\"more\":[[[[[[[[1]]]]]]]]"));
  EXPECT_FALSE(with("\"version\":1", "\"version\":0"));
  EXPECT_FALSE(with("\"begin_ms\":", "\"begin_ms\":9999999"));
  EXPECT_FALSE(with("\"begin_ms\":", "\"begin_ms\":-"));
  EXPECT_FALSE(with("\"pid\":4242", "\"pid\":99999999999"));
  EXPECT_FALSE(with("\"pid\":4242", "\"pid\":\"4242\""));
  EXPECT_FALSE(with("[\"GPU-1\",", "["));
  EXPECT_FALSE(with("[\"GPU-1\",", "[1,"));
  EXPECT_FALSE(with("\"share_mib\":8000", "\"share_mib\":0"));
  EXPECT_FALSE(parse_line(with_end(line, full_entry().begin_ms - 1), 7)) << "ends before it begins";
  EXPECT_FALSE(parse_line("[]", 7));
  EXPECT_FALSE(parse_line(std::string(100000, '['), 7));
}

}  // namespace
}  // namespace gpu_gate
