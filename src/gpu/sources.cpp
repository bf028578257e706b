#include "gpu/sources.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace gpu_gate {
namespace {

bool has_devices(const Result<Snapshot>& snapshot) {
  return snapshot && !snapshot->devices.empty();
}

/// Has the machine no such GPUs, as far as can be told? A driver that is there and fails may have
/// some.
bool has_none(const Result<Snapshot>& snapshot) {
  return snapshot ? snapshot->devices.empty() : snapshot.error().kind == ErrorKind::no_driver;
}

/// Is it a driver whose module is not loaded, and not one that is not installed? (A missing library
/// has the errno of a missing file.)
bool is_installed(const Result<Snapshot>& snapshot) {
  return !snapshot && snapshot.error().errnum != ENOENT;
}

/// Is there any device that is not only for who names it?
bool has_cards(const Snapshot& snapshot) {
  return std::any_of(snapshot.devices.begin(), snapshot.devices.end(),
                     [](const Device& device) { return !device.only_if_named; });
}

class Sources final : public GpuSource {
 public:
  Sources(SourcePaths&& paths, std::optional<WantedVendor> wanted)
      : nvidia_(nvml_source(std::move(paths.nvml))),
        amd_(amd_source(std::move(paths.amd))),
        wanted_(std::move(wanted)) {}

  Result<Snapshot> read() override {
    if (chosen_ != nullptr) return chosen_->read();
    return wanted_ && wanted_->vendor == Vendor::amd ? read_amd() : read_nvidia();
  }

  Links links() override { return chosen_ != nullptr ? chosen_->links() : Links(); }
  bool needs_open() override { return chosen_ != nullptr && chosen_->needs_open(); }
  void close_for_exec() override {
    if (chosen_ != nullptr) chosen_->close_for_exec();
  }

  void close() override {
    if (chosen_ != nullptr) chosen_->close();
  }

 private:
  Result<Snapshot> read_nvidia() {
    Result<Snapshot> nvidia = nvidia_->read();
    if (has_devices(nvidia)) chosen_ = nvidia_.get();
    if (!has_none(nvidia)) return nvidia;
    nvidia_->close();
    Result<Snapshot> amd = amd_->read();
    if (!has_devices(amd)) return nvidia;
    // Beside the card of a desktop there is often a part of the CPU, which is not what was meant.
    if (is_installed(nvidia) && !has_cards(*amd)) return nvidia;
    if (wanted_) return refused(Vendor::amd, *amd);
    chosen_ = amd_.get();
    return amd;
  }

  Result<Snapshot> read_amd() {
    Result<Snapshot> amd = amd_->read();
    if (has_devices(amd)) {
      chosen_ = amd_.get();
      return amd;
    }
    const Result<Snapshot> nvidia = nvidia_->read();
    nvidia_->close();
    return refused(Vendor::nvidia, has_devices(nvidia) ? *nvidia : Snapshot());
  }

  /// "--vendor amd: there is no AMD GPU on this machine (it has 2 GPUs of NVIDIA)".
  tl::unexpected<Error> refused(Vendor other, const Snapshot& there) const {
    const std::size_t count = there.devices.size();
    std::string text =
        wanted_->asked + ": there is no " + name_of(wanted_->vendor) + " GPU on this machine";
    if (wanted_->vendor == Vendor::amd) text += " with the amdgpu driver";
    if (count > 0) {
      text += " (it has " + std::to_string(count) + (count == 1 ? " GPU" : " GPUs") + " of " +
              name_of(other) + ")";
    }
    return fail(ErrorKind::impossible, std::move(text));
  }

  const std::unique_ptr<GpuSource> nvidia_;
  const std::unique_ptr<GpuSource> amd_;
  const std::optional<WantedVendor> wanted_;
  GpuSource* chosen_ = nullptr;  // once it has shown devices: nobody is moved to other ones
};

}  // namespace

std::unique_ptr<GpuSource> gpu_source(SourcePaths paths, std::optional<WantedVendor> wanted) {
  return std::make_unique<Sources>(std::move(paths), std::move(wanted));
}

}  // namespace gpu_gate
