#include "policy/criteria.h"

#include <gtest/gtest.h>

#include "policy/request.h"

namespace gpu_gate {
namespace {

TEST(Criteria, AskForOneIdleDeviceWhereNothingIsSaid) {
  const Request request;
  EXPECT_EQ(request.criteria.count, 1);
  EXPECT_FALSE(request.criteria.min_free_mib);
  EXPECT_FALSE(request.criteria.max_util_pct);
  EXPECT_TRUE(request.barred.empty());
  EXPECT_EQ(request.within, 0U);
}

}  // namespace
}  // namespace gpu_gate
