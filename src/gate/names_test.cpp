#include "gate/names.h"

#include <gtest/gtest.h>

#include <limits>

namespace gpu_gate {
namespace {

constexpr Ticket kHighest = 1000;

TEST(PlaceName, ComesBackAsItWasMade) {
  for (const Place place : {Place{17, 0}, Place{17, 12}, Place{1, 1}, Place{kHighest, kHighest}}) {
    EXPECT_EQ(parse_place_name(place_name(place), kHighest), place) << place_name(place);
  }
}

TEST(PlaceName, IsTheTicketAndTheClaimItIsInside) {
  EXPECT_EQ(place_name({17, 0}), "17");
  EXPECT_EQ(place_name({17, 12}), "17@12");
  EXPECT_EQ(bell_name({17, 12}), "17@12.bell");
  EXPECT_EQ(record_name({17, 0}), "17.json");
  EXPECT_EQ(new_record_name({17, 0}), "17.new");
}

TEST(PlaceName, IsNothingElse) {
  for (const char* name : {"", "0", "017", "+17", "-17", " 17", "17 ", "17@", "17@0", "17@x", "@12",
                           "17.bell", "17.json", "17@12.json", "17@12@3", "0x11", "seventeen"}) {
    EXPECT_FALSE(parse_place_name(name, kHighest)) << name;
  }
}

TEST(PlaceName, FromTheFutureWasNeverGivenOut) {
  EXPECT_TRUE(parse_place_name("1000", kHighest));
  EXPECT_FALSE(parse_place_name("1001", kHighest));
  EXPECT_FALSE(parse_place_name("17@1001", kHighest));
  EXPECT_FALSE(parse_place_name("99999999999999999999999", kHighest));
}

TEST(ClaimName, ComesBackAsItWasMade) {
  const ClaimName claim{"GPU-3f2a-00", 17};
  EXPECT_EQ(claim_name(claim), "GPU-3f2a-00@17");
  EXPECT_EQ(parse_claim_name("GPU-3f2a-00@17", kHighest), claim);
}

TEST(ClaimName, IsNothingElse) {
  for (const char* name : {"", "@17", "GPU-1", "GPU-1@", "GPU-1@0", "GPU-1@x", "GPU-1@17.json",
                           "GPU 1@17", "GPU-1@2@3", "../x@17", "17.json"}) {
    EXPECT_FALSE(parse_claim_name(name, kHighest)) << name;
  }
  EXPECT_FALSE(parse_claim_name(std::string(97, 'a') + "@17", kHighest));
  EXPECT_TRUE(parse_claim_name(std::string(96, 'a') + "@17", kHighest));
}

TEST(ClaimName, FromTheFutureWasNeverGivenOut) {
  EXPECT_TRUE(parse_claim_name("GPU-1@1000", kHighest));
  EXPECT_FALSE(parse_claim_name("GPU-1@1001", kHighest));
}

TEST(ClaimRecordName, IsTheTicket) {
  EXPECT_EQ(claim_record_name(17), "17.json");
  EXPECT_EQ(parse_claim_record_name("17.json", kHighest), 17U);
  for (const char* name : {"17", "17.jso", "17.json.new", "017.json", "1001.json", ".json"}) {
    EXPECT_FALSE(parse_claim_record_name(name, kHighest)) << name;
  }
}

TEST(PlaceName, SaysWhoseDevicesAreWantedUnlessTheyAreNvidias) {
  const Place place{.ticket = 17, .vendor = Vendor::amd};
  EXPECT_EQ(place_name(place), "17@amd");
  EXPECT_EQ(bell_name(place), "17@amd.bell");
  EXPECT_EQ(parse_place_name("17@amd", kHighest), place);
  EXPECT_EQ(parse_place_name("17", kHighest)->vendor, Vendor::nvidia);
  for (const char* name : {"17@AMD", "17@nvidia", "17@amd2", "17@", "17@amd.bell"}) {
    EXPECT_FALSE(parse_place_name(name, kHighest)) << name;
  }
  EXPECT_EQ(ticket_in_queue("17@amd.json", kHighest), 17U);
}

TEST(PlaceName, InsideAClaimSaysNothingOfAVendor) {
  const LineId line = line_for(12, Vendor::amd);
  EXPECT_EQ(line, line_for(12, Vendor::nvidia));
  EXPECT_EQ(place_name(place_in(line, 17)), "17@12");
  EXPECT_EQ(place_in(line, 17).line(), line);
}

TEST(TicketInAName, IsThatOfAnyFileInTheQueue) {
  for (const char* name : {"17", "17@12", "17.bell", "17@12.json", "17.new"}) {
    EXPECT_EQ(ticket_in_queue(name, kHighest), 17U) << name;
  }
  EXPECT_FALSE(ticket_in_queue("bell", kHighest));
  EXPECT_FALSE(ticket_in_queue("1001.bell", kHighest));
}

TEST(TicketInAName, IsThatOfAnyFileAmongTheClaims) {
  EXPECT_EQ(ticket_in_claims("GPU-1@17", kHighest), 17U);
  EXPECT_EQ(ticket_in_claims("17.json", kHighest), 17U);
  EXPECT_FALSE(ticket_in_claims("GPU-1@1001", kHighest));
  EXPECT_FALSE(ticket_in_claims("GPU-1", kHighest));
}

TEST(Tickets, OfANewDirectoryLieFarBelowWhatIsPlausible) {
  const Ticket first = first_ticket();
  EXPECT_GT(first, 1'700'000'000'000U);  // milliseconds since 1970
  EXPECT_LT(first + 1'000'000'000'000U, highest_plausible_ticket());
}

TEST(PlaceName, OfTwoPlacesIsNeverTheSame) {
  EXPECT_NE(place_name({17, 1}), place_name({171, 0}));
  EXPECT_NE(place_name({17, 12}), place_name({12, 17}));
  EXPECT_NE(record_name({17, 12}), record_name({17, 0}));
}

TEST(PlaceName, OfTheHighestNumberThereIsCanBeRead) {
  constexpr Ticket kLargest = std::numeric_limits<Ticket>::max();
  EXPECT_EQ(parse_place_name(place_name({kLargest, kLargest}), kLargest),
            (Place{kLargest, kLargest}));
  EXPECT_FALSE(parse_place_name("18446744073709551616", kLargest));
}

TEST(PlaceName, IsNeverThatOfAClaim) {
  EXPECT_FALSE(parse_place_name("GPU-1@17", kHighest));
  EXPECT_FALSE(parse_claim_record_name("17@12.json", kHighest));
}

TEST(ClaimName, HasNoPartThatCouldLeadElsewhere) {
  for (const char* uuid : {"..", ".", "a/b", "a.b", "a@b", " a", "a\n", "\xc3\xa4"}) {
    EXPECT_FALSE(parse_claim_name(claim_name({uuid, 17}), kHighest)) << uuid;
  }
}

}  // namespace
}  // namespace gpu_gate
