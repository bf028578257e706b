#include "gate/record.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/process.h"
#include "gate/test_process.h"

namespace gpu_gate {
namespace {

Owner somebody() {
  Owner owner;
  owner.pid = 4242;
  owner.start_ticks = 99;
  owner.pid_namespace = 4026531836;
  owner.since = 1700000000;
  owner.command = "python train.py";
  return owner;
}

TEST(Record, AWaiterComesBackAsItWasWritten) {
  WaiterRecord record{somebody(), {}};
  record.request.criteria.count = 2;
  record.request.criteria.min_free_mib = 8000;
  record.request.criteria.max_util_pct = 10;
  record.request.barred = {"GPU-1", "GPU-2"};
  const auto read = parse_waiter(to_json(record), 1000);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->owner.uid, 1000U);  // of the file, not of the text
  EXPECT_EQ(read->owner.pid, 4242);
  EXPECT_EQ(read->owner.command, "python train.py");
  EXPECT_EQ(read->request.criteria.count, 2);
  EXPECT_EQ(read->request.criteria.min_free_mib, 8000);
  EXPECT_EQ(read->request.criteria.max_util_pct, 10);
  EXPECT_EQ(read->request.barred, record.request.barred);
}

TEST(Record, AWaiterSaysWhatItMayHaveWhereItSaysSo) {
  WaiterRecord record{somebody(), {}};
  EXPECT_FALSE(parse_waiter(to_json(record), 1000)->request.allowed);
  record.request.allowed = {"GPU-1"};
  EXPECT_EQ(parse_waiter(to_json(record), 1000)->request.allowed, record.request.allowed);
}

TEST(Record, AWaiterSaysWhetherItIsNice) {
  WaiterRecord record{somebody(), {}};
  EXPECT_FALSE(parse_waiter(to_json(record), 1000)->request.criteria.nice);
  record.request.criteria.nice = true;
  EXPECT_TRUE(parse_waiter(to_json(record), 1000)->request.criteria.nice);
}

TEST(Record, AClaimSaysInsideOfWhichOneItWasMade) {
  ClaimRecord record{.owner = somebody(), .devices = {"GPU-1"}};
  EXPECT_EQ(parse_claim(to_json(record), 1000)->within, 0U);
  record.within = 17;
  EXPECT_EQ(parse_claim(to_json(record), 1000)->within, 17U);
}

TEST(Record, TheNoteComesBackAndIsLeftOutWhereThereIsNone) {
  WaiterRecord waiter{somebody(), {}};
  EXPECT_EQ(to_json(waiter).find("note"), std::string::npos);
  waiter.owner.note = "a \n\xff";
  EXPECT_EQ(parse_waiter(to_json(waiter), 1000)->owner.note, "a \n\xef\xbf\xbd");
  const ClaimRecord claim{.owner = waiter.owner, .devices = {"GPU-1"}};
  EXPECT_EQ(parse_claim(to_json(claim), 1000)->owner.note, "a \n\xef\xbf\xbd");
}

TEST(Record, ANoteThatIsTooLongIsCutToWholeCharacters) {
  WaiterRecord waiter{somebody(), {}};
  std::string allowed;
  for (int i = 0; i < 64; ++i) allowed += "\xc3\xa9";
  waiter.owner.note = allowed + "x";
  EXPECT_EQ(parse_waiter(to_json(waiter), 1000)->owner.note, allowed);
}

TEST(Record, AClaimComesBackAsItWasWritten) {
  const auto read = parse_claim(to_json(ClaimRecord{somebody(), {"GPU-1"}}), 1000);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->devices, std::vector<std::string>{"GPU-1"});
  EXPECT_EQ(read->owner.start_ticks, 99U);
}

TEST(Record, ACommandOfArbitraryBytesCanBeWritten) {
  Owner owner = somebody();
  owner.command = "a\xff\x1b[2J\n\"\\";
  const auto read = parse_claim(to_json(ClaimRecord{owner, {}}), 1000);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->owner.command, "a\xEF\xBF\xBD\x1b[2J\n\"\\");
}

TEST(Record, WhatIsNotARecordIsNothing) {
  const std::string good = to_json(WaiterRecord{somebody(), {}});
  ASSERT_TRUE(parse_waiter(good, 0));
  std::string older = good;
  older.replace(older.find("\"version\":1"), 11, "\"version\":0");
  const std::string bad[] = {
      "",
      "null",
      "[]",
      "{",
      "{}",
      "1",
      "\"x\"",
      std::string(70000, '['),
      good.substr(0, good.size() / 2),
      older,
      R"({"version":1})",
      std::string("\0\0", 2),
      R"({"version":1,"pid":-1,"start":0,"pid_namespace":0,"since":0,"command":"","count":1,"barred":[]})",
      R"({"version":1,"pid":1,"start":0,"pid_namespace":0,"since":0,"command":7,"count":1,"barred":[]})",
      R"({"version":1,"pid":1,"start":0,"pid_namespace":0,"since":0,"command":"","count":0,"barred":[]})",
      R"({"version":1,"pid":1,"start":0,"pid_namespace":0,"since":0,"command":"","count":1.5,"barred":[]})",
      R"({"version":1,"pid":1,"start":0,"pid_namespace":0,"since":0,"command":"","count":1,"barred":[1]})",
      R"({"version":1,"pid":1,"start":0,"pid_namespace":0,"since":18446744073709551615,"command":"","count":1,"barred":[]})",
      R"({"version":1,"pid":1,"start":0,"pid_namespace":0,"since":0,"command":"","count":1,"barred":[],"max_util_pct":101})",
      R"({"version":1,"pid":1,"start":0,"pid_namespace":0,"since":0,"command":"","count":1,"barred":[],"min_free_mib":"8"})",
  };
  for (const std::string& text : bad) EXPECT_FALSE(parse_waiter(text, 0)) << text.substr(0, 120);
}

TEST(Record, AWaiterOfANewerVersionWantsEveryDevice) {
  for (const char* text :
       {R"({"version":2,"pid":1,"start":0,"pid_namespace":0,"since":0,"command":"","count":1,)"
        R"("barred":["GPU-1"]})",
        R"({"version":3})", R"({"version":2147483647,"count":"all","barred":7})"}) {
    const auto read = parse_waiter(text, 1000);
    ASSERT_TRUE(read) << text;
    EXPECT_EQ(read->owner.uid, 1000U);
    EXPECT_EQ(read->request.criteria.count, kEveryDevice);
    EXPECT_TRUE(read->request.barred.empty());
  }
}

TEST(Record, AClaimOfANewerVersionLastsWithItsProcess) {
  const auto whole = parse_claim(
      R"({"version":2,"pid":7,"start":8,"pid_namespace":9,"since":0,"command":"x","devices":["A"]})",
      1000);
  ASSERT_TRUE(whole);
  EXPECT_TRUE(whole->with_process);
  EXPECT_EQ(whole->owner.pid, 7);
  EXPECT_EQ(whole->devices, std::vector<std::string>{"A"});
  const auto odd = parse_claim(R"({"version":2,"owner":{"pid":7}})", 1000);
  ASSERT_TRUE(odd);
  EXPECT_EQ(odd->owner.pid, 0);
  EXPECT_EQ(odd->owner.uid, 1000U);
}

TEST(Record, AClaimLastsWithItsProcessWhereItSaysSo) {
  ClaimRecord record{somebody(), {"GPU-1"}};
  EXPECT_FALSE(parse_claim(to_json(record), 0)->with_process);
  record.with_process = true;
  EXPECT_TRUE(parse_claim(to_json(record), 0)->with_process);
}

TEST(Record, AHugeRecordIsNotRead) {
  const std::string text = to_json(ClaimRecord{somebody(), {"GPU-1"}});
  const std::string most = text + std::string(kMaxRecordBytes - text.size(), ' ');
  EXPECT_TRUE(parse_claim(most, 0));
  EXPECT_FALSE(parse_claim(most + " ", 0));
}

TEST(Record, OneThatIsNestedDeeplyIsNotParsed) {
  const std::string text = to_json(ClaimRecord{somebody(), {"GPU-1"}});
  const auto with = [&](const std::string& value) {
    return parse_claim("{\"more\":" + value + "," + text.substr(1), 0).has_value();
  };
  EXPECT_TRUE(with("[[[[[[[1]]]]]]]"));
  EXPECT_FALSE(with("[[[[[[[[1]]]]]]]]"));
}

TEST(Record, ALongCommandIsCut) {
  const Owner owner = this_process({std::string(10000, 'x'), "y"});
  EXPECT_EQ(owner.command.size(), kMaxCommandBytes);
}

/// A waiter's record as another program may write it, with more members.
std::string waiter_with(const std::string& members) {
  return R"({"version":1,"pid":1,"start":0,"pid_namespace":0,"since":0,"command":"","count":1,)"
         R"("barred":[])" +
         members + "}";
}

TEST(Record, AMemberThatIsNotAskedForIsNotThere) {
  const auto read = parse_waiter(to_json(WaiterRecord{somebody(), {}}), 0);
  ASSERT_TRUE(read);
  EXPECT_FALSE(read->request.criteria.min_free_mib);
  EXPECT_FALSE(read->request.criteria.max_util_pct);
}

TEST(Record, AMemberThatIsNotKnownIsPassedBy) {
  EXPECT_TRUE(parse_waiter(waiter_with(R"(,"more":{"x":[1,2]})"), 0));
}

TEST(Record, ALimitOfNothingIsALimit) {
  const auto read = parse_waiter(waiter_with(R"(,"min_free_mib":0,"max_util_pct":0)"), 0);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->request.criteria.min_free_mib, 0);
  EXPECT_EQ(read->request.criteria.max_util_pct, 0);
}

TEST(Record, WithoutOneOfItsMembersIsNothing) {
  const std::string good = waiter_with("");
  ASSERT_TRUE(parse_waiter(good, 0));
  for (const char* member :
       {"version", "pid", "start", "pid_namespace", "since", "command", "count", "barred"}) {
    std::string without = good;
    without.insert(without.find("\"" + std::string(member) + "\"") + 1, "x");
    EXPECT_FALSE(parse_waiter(without, 0)) << without;
  }
}

TEST(Record, NamesNoMoreDevicesThanAMachineCanHave) {
  ClaimRecord record{somebody(), std::vector<std::string>(1024, "a")};
  EXPECT_TRUE(parse_claim(to_json(record), 0));
  record.devices.emplace_back("a");
  EXPECT_FALSE(parse_claim(to_json(record), 0));
}

TEST(Record, NamesNoDeviceThatIsLongerThanAUuid) {
  EXPECT_TRUE(parse_claim(to_json(ClaimRecord{somebody(), {std::string(96, 'a')}}), 0));
  EXPECT_FALSE(parse_claim(to_json(ClaimRecord{somebody(), {std::string(97, 'a')}}), 0));
}

TEST(Record, ALongCommandThatSomebodyWroteIsCutAsWell) {
  Owner owner = somebody();
  owner.command = std::string(1000, 'x');
  EXPECT_EQ(parse_claim(to_json(ClaimRecord{owner, {}}), 0)->owner.command,
            std::string(kMaxCommandBytes, 'x'));
}

TEST(Record, ThisProcessIsWhoItIs) {
  const Owner self = this_process({"/usr/bin/python", "train.py"});
  EXPECT_EQ(self.pid, ::getpid());
  EXPECT_EQ(self.uid, ::geteuid());
  EXPECT_EQ(self.command, "python");
  EXPECT_EQ(self.pid_namespace, pid_namespace());
  EXPECT_EQ(self.start_ticks, process_identity(::getpid())->start_ticks);
}

TEST(Record, AnotherProcessIsKnownAsLongAsItLives) {
  Idler other;
  const auto owner = other_process(other.pid());
  ASSERT_TRUE(owner);
  EXPECT_EQ(owner->pid, other.pid());
  EXPECT_GE(owner->start_ticks, this_process({}).start_ticks);
  other.end();
  EXPECT_FALSE(other_process(owner->pid));
}

TEST(Record, SaysHowMuchOfEachDeviceIsMeant) {
  WaiterRecord waiter{somebody(), {}};
  ClaimRecord claim{.owner = somebody(), .devices = {"GPU-1"}};
  EXPECT_FALSE(parse_waiter(to_json(waiter), 1000)->request.criteria.share_mib);
  EXPECT_FALSE(parse_claim(to_json(claim), 1000)->share_mib);
  waiter.request.criteria.share_mib = claim.share_mib = 8000;
  EXPECT_EQ(parse_waiter(to_json(waiter), 1000)->request.criteria.share_mib, 8000);
  EXPECT_EQ(parse_claim(to_json(claim), 1000)->share_mib, 8000);
}

TEST(Record, AClaimOfAnImpossibleShareIsOfAllAndNoSuchWaiterCounts) {
  for (const char* share :
       {"0", "-5", "\"8000\"", "1e3", "18446744073709551615", "null", "[]", "1000000000000001"}) {
    const auto with_share = [&](std::string text) {
      return text.replace(text.find("8000"), 4, share);
    };
    WaiterRecord waiter{somebody(), {}};
    ClaimRecord claim{.owner = somebody(), .devices = {"GPU-1"}, .share_mib = 8000};
    waiter.request.criteria.share_mib = 8000;
    EXPECT_FALSE(parse_waiter(with_share(to_json(waiter)), 1000)) << share;
    const auto read = parse_claim(with_share(to_json(claim)), 1000);
    ASSERT_TRUE(read) << share;
    EXPECT_FALSE(read->share_mib) << share;
  }
}

}  // namespace
}  // namespace gpu_gate
