#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace gpu_gate {

/// Where the lock directory may be, as values so that tests can point elsewhere.
struct LockDirPaths {
  std::optional<std::string> chosen;           // $GPU_GATE_LOCK_DIR
  std::string administered = "/run/gpu-gate";  // used if it exists
  // Else gpu-gate under the first of these that everybody may write to. A service may have the last
  // one for itself (PrivateTmp=, systemd.exec(5)).
  std::vector<std::string> shared{"/run/lock", "/tmp"};
};

/// The open lock directory of this machine: where waiters stand in line and claims are held. Its
/// parts are described in docs/protocol.md. Reading it needs no lock; whatever is created or
/// decided is so under the mutex (see mutex.h).
class LockDir {
 public:
  /// Opens the directory and makes what is missing of it, mode 1777 whatever the umask. Errors
  /// (lock_dir): no permission, a network file system, a full one, something else in its place;
  /// usage where the chosen path is not absolute.
  static Result<LockDir> open(const LockDirPaths& paths);

  /// Which one it is; opens nothing. Errors: lock_dir where there is no place for one, usage.
  static Result<std::string> chosen_path(const LockDirPaths& paths);

  /// The same without making anything: what is missing has no descriptor (-1), and nothing in it.
  static Result<LockDir> open_existing(const LockDirPaths& paths);

  const std::string& path() const { return path_; }
  /// Did the choice fall to the last place, which some processes may have for themselves?
  bool is_last_resort() const { return is_last_resort_; }
  int root() const { return root_.get(); }
  int queue() const { return queue_.get(); }
  int claims() const { return claims_.get(); }

  /// The other default places, where there may be claims that were made before this directory, or
  /// by a process that sees others: so many, none where the user chose the directory.
  std::size_t other_places() const { return other_places_.size(); }

  /// The claims in another of the default places, open for reading; none (-1) where there is no
  /// lock directory there, or none that can be read, is local and another than this one. Nothing in
  /// it is to be changed. Errors: system.
  Result<UniqueFd> open_other_claims(std::size_t place) const;
  const std::string& other_place(std::size_t place) const { return other_places_[place]; }

  /// Where this is a directory of root's and root runs the program: gives root a part that an
  /// ordinary user made, with its proper mode, so that nobody else can remove what others have in
  /// it. Where that fails it stays as it is.
  void take_over(int part, mode_t mode) const;

  /// Could this user claim and stand in line here? Makes nothing; what is missing must be possible
  /// to make. Errors: as those of open.
  Status check_usable() const;

  /// Is this still the directory to use? False after somebody removed or replaced it, or root made
  /// one in a place that comes before.
  bool is_current() const;

 private:
  static Result<LockDir> open_chosen(const LockDirPaths& paths, bool make);
  static Result<LockDir> open_at(const std::string& path, bool make, bool follow);

  LockDirPaths paths_;
  std::vector<std::string> other_places_;
  std::string path_;
  bool is_last_resort_ = false;
  UniqueFd root_;
  struct stat opened_{};  // of root_
  UniqueFd queue_;
  UniqueFd claims_;
};

/// Makes an ErrorKind::lock_file a lock_dir that tells the user which directory it is about and
/// what helps. Leaves any other kind as it is.
Error explain_lock_error(Error error, const std::string& path);

}  // namespace gpu_gate
