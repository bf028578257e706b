#include "report/live_board.h"

#include <gtest/gtest.h>

#include "report/test_board.h"

namespace gpu_gate {
namespace {

GpuProcess process_with(pid_t pid, std::int64_t mib) {
  return {.pid = pid, .graphics = false, .memory_mib = mib};
}

/// One GPU with a process on it, as a board shows it.
Board seen_before() {
  DeviceProcess process = seen_process(7, "alice", "python train.py");
  process.process = process_with(7, 100);
  BoardRow row = board_row(card(0), {}, {{.described = process, .claimed = true}});
  row.kept_for = 9;
  return {.rows = {row}, .waiters = {}, .holders = {}};
}

Snapshot seen_now(std::int64_t mib) {
  Snapshot snapshot;
  snapshot.devices.push_back(card(0, 45468 - mib));
  snapshot.devices[0].utilization_pct = 88;
  snapshot.devices[0].processes = {process_with(7, mib)};
  return snapshot;
}

TEST(UpdateDevices, TakesNewNumbersAndLeavesTheRest) {
  Board board = seen_before();
  ASSERT_TRUE(update_devices(board, seen_now(2000)));
  const BoardRow& row = board.rows[0];
  EXPECT_EQ(row.device.utilization_pct, 88);
  EXPECT_EQ(row.device.memory_used_mib, 2000);
  EXPECT_EQ(row.processes[0].described.process.memory_mib, 2000);
  EXPECT_EQ(row.processes[0].described.user, "alice");
  EXPECT_TRUE(row.processes[0].claimed);
  EXPECT_EQ(row.kept_for, 9U);
}

TEST(UpdateDevices, ChangesNothingWhereMoreIsNewThanNumbers) {
  std::vector<Snapshot> others(6, seen_now(2000));
  others[0].devices[0].uuid = "GPU-other";
  others[1].devices[0].health = Health::lost;
  others[2].devices[0].processes[0].pid = 8;
  others[3].devices[0].processes.clear();
  others[4].devices.push_back(card(1));
  others[5].devices.clear();
  for (const Snapshot& other : others) {
    Board board = seen_before();
    EXPECT_FALSE(update_devices(board, other));
    EXPECT_EQ(board.rows[0].device.utilization_pct, 0);
  }
}

}  // namespace
}  // namespace gpu_gate
