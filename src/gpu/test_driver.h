#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "base/test_folder.h"
#include "gpu/nvml.h"

namespace gpu_gate {

/// A simulated machine, whose driver (sim/README.md) is loaded into the test itself.
class SimulatedDriverTest : public testing::Test {
 protected:
  void SetUp() override { ::setenv("GPU_SIM_MACHINE", folder_.path("machine").c_str(), 1); }
  void TearDown() override { ::unsetenv("GPU_SIM_MACHINE"); }

  /// Its library: "current", "r535" or "old".
  static std::string driver(const std::string& age) {
    return std::string(GPU_GATE_SIM_LIBRARIES) + "/" + age + "/libnvidia-ml.so.1";
  }

  void set_machine(const std::string& text) const {
    folder_.write("machine", "log " + folder_.path("log") + "\n" + text);
  }

  /// How often the driver has been asked this.
  std::ptrdiff_t calls(const std::string& function) const {
    std::ifstream log(folder_.path("log"));
    std::ptrdiff_t found = 0;
    for (std::string pid, name; log >> pid >> name;) found += name == function ? 1 : 0;
    return found;
  }

  TestFolder folder_;
  NvmlPaths paths_{.driver_library = driver("current"),
                   .devices = folder_.make_folder("dev"),
                   .meminfo = folder_.path("meminfo")};
};

}  // namespace gpu_gate
