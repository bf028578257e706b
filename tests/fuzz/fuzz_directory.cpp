// The scan of the lock directory: files of any name and content, as lines "q NAME CONTENT" (in the
// queue) and "c NAME CONTENT" (among the claims).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "gate/ledger.h"

namespace {

std::string make_folder() {
  const char* base = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  std::string pattern = std::string(base) + "/gpu-gate-fuzz-XXXXXX";
  return ::mkdtemp(pattern.data());
}

const std::string& folder() {
  static const std::string made = make_folder();
  static const bool registered = std::atexit([] { std::filesystem::remove_all(folder()); }) == 0;
  (void)registered;
  return made;
}

gpu_gate::LockDir& lock_dir() {
  static gpu_gate::LockDir dir = [] {
    gpu_gate::LockDirPlaces places;
    places.chosen = folder() + "/lock";
    return *gpu_gate::LockDir::open(places);
  }();
  return dir;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const gpu_gate::LockDir& dir = lock_dir();
  std::vector<std::string> made;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (int files = 0; !text.empty() && files < 16; ++files) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.size() < 3) continue;
    const std::string_view rest = line.substr(2);
    std::string name(rest.substr(0, rest.find(' ')));
    if (name.empty() || name.size() > 200 || name == "." || name == ".." ||
        name.find('/') != std::string::npos || name.find('\0') != std::string::npos) {
      continue;
    }
    const std::string path = folder() + "/lock/" + (line[0] == 'q' ? "queue/" : "claims/") + name;
    if (line[1] == 'f') {
      ::mkfifo(path.c_str(), 0644);
    } else {
      std::ofstream(path) << (name.size() < rest.size() ? rest.substr(name.size() + 1) : "");
    }
    made.push_back(path);
  }
  const gpu_gate::Ledger ledger(dir);
  // Nothing here has a writer, so nothing is alive, whatever it is called; no Error either. (Except
  // a record of a live process without its FIFO, which a fuzzer does not guess.)
  if (!ledger.claims(nullptr)) __builtin_trap();
  const auto places = ledger.all_lines();
  if (!places) __builtin_trap();
  for (const gpu_gate::Place& place : *places) {
    const auto live = ledger.is_live(place);
    if (!live || *live) __builtin_trap();
    (void)ledger.waiter_record(place);
  }
  const auto ahead = ledger.ahead_of(gpu_gate::Place{}, nullptr);
  if (!ahead || ahead->first || ahead->predecessor) __builtin_trap();
  if (auto guard = gpu_gate::lock_mutex(dir, std::nullopt, gpu_gate::ending_signals(), {})) {
    if (!ledger.claims(&*guard)) __builtin_trap();
    auto standing = ledger.join(*guard, gpu_gate::WaiterRecord{gpu_gate::this_process({"x"}), {}});
    if (!standing) __builtin_trap();
    ledger.leave(standing->place);
  }
  for (const std::string& path : made) ::unlink(path.c_str());
  return 0;
}
