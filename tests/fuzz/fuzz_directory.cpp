// The scan of the lock directory: files of any name and content, as lines "q NAME CONTENT" (in the
// queue) and "c NAME CONTENT" (among the claims).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "gate/claims.h"
#include "gate/line.h"

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
    gpu_gate::LockDirPaths paths;
    paths.chosen = folder() + "/lock";
    return *gpu_gate::LockDir::open(paths);
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
  // Nothing here has a writer, so nothing is alive, whatever it is called; no Error either. (Except
  // a record of a live process without its FIFO, which a fuzzer does not guess.)
  const gpu_gate::Claims claims(dir);
  const auto scan = claims.scan();
  if (!scan) __builtin_trap();
  const gpu_gate::Line line(dir);
  const auto places = line.all_places();
  if (!places) __builtin_trap();
  for (const gpu_gate::Place& place : *places) {
    const auto holder = line.holder(place);
    if (!holder || *holder) __builtin_trap();
    (void)line.record(place, ::geteuid());
  }
  const auto ahead = line.ahead_of(gpu_gate::Place{});
  if (!ahead || ahead->leader || ahead->predecessor) __builtin_trap();
  gpu_gate::Mutex mutex(dir);
  if (auto guard = mutex.lock(std::nullopt, gpu_gate::ending_signals(), {}); guard && *guard) {
    claims.clear(**guard, *scan);
    line.clear(**guard, *ahead);
    const auto own = line.join(**guard, ahead->last_ticket,
                               gpu_gate::WaiterRecord{gpu_gate::this_process({"x"}), {}});
    if (!own) __builtin_trap();
    line.leave(own->place);
  }
  for (const std::string& path : made) ::unlink(path.c_str());
  return 0;
}
