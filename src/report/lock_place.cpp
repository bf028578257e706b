#include "report/lock_place.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/printable.h"
#include "base/process.h"
#include "gate/claims.h"
#include "gate/file_system.h"
#include "gate/mutex.h"
#include "gate/policy_file.h"

namespace gpu_gate {
namespace {

constexpr mode_t kPermissions = 07777;

void look_at_file(LockPlace& place) {
  struct stat root{};
  struct stat file{};
  place.exists = ::stat(place.path.c_str(), &file) == 0;
  const std::string parent = place.path.substr(0, place.path.rfind('/') + 1);
  if (!place.exists && ::stat(parent.c_str(), &file) != 0) return;
  place.on_root = ::stat("/", &root) == 0 && root.st_dev == file.st_dev;
  place.file_system = printable(mounted_as(file.st_dev).type);
  if (!place.exists) return;
  place.owner = user_name(file.st_uid);
  place.mode = file.st_mode & kPermissions;
}

/// The oldest claim that lives in each default place but this one.
Result<std::vector<ClaimElsewhere>> claims_elsewhere(const LockDirPaths& paths,
                                                     const std::string& used) {
  LockDirPaths defaults = paths;
  defaults.chosen.reset();
  const Result<LockDir> dir = LockDir::open_existing(defaults);
  if (!dir) return std::vector<ClaimElsewhere>();  // told where it is the one in use
  const Claims claims(*dir);
  const Result<ClaimScan> scan = claims.scan();
  if (!scan && scan.error().kind == ErrorKind::system) return fail(scan.error());
  if (!scan) return std::vector<ClaimElsewhere>();
  struct stat own{};
  const bool known = ::stat(used.c_str(), &own) == 0;
  std::vector<ClaimElsewhere> found;
  for (const Claim& claim : scan->live) {
    const std::string path = claim.place == 0 ? dir->path() : dir->other_place(claim.place - 1);
    struct stat file{};
    const bool same = known && ::stat(path.c_str(), &file) == 0 && file.st_ino == own.st_ino &&
                      file.st_dev == own.st_dev;
    const bool told = std::any_of(found.begin(), found.end(),
                                  [&](const ClaimElsewhere& each) { return each.path == path; });
    if (!same && !told) found.push_back({.path = path, .claimant = claimant_of(claims, claim)});
  }
  return found;
}

/// What keeps this user from standing in line there.
Status usable(const Result<LockDir>& dir) {
  if (!dir) return fail(dir.error());
  if (Status checked = dir->check_usable(); !checked) return checked;
  if (Status checked = check_mutex(*dir); !checked) {
    return fail(explain_lock_error(checked.error(), dir->path()));
  }
  return {};
}

}  // namespace

Result<LockPlace> look_at_lock_dir(const LockDirPaths& paths) {
  LockPlace place;
  place.path = LockDir::chosen_path(paths).value_or("");
  place.paths = paths;
  if (!place.path.empty()) look_at_file(place);
  const Result<LockDir> dir = LockDir::open_existing(paths);
  place.usable = usable(dir);
  if (!place.usable && place.usable.error().kind == ErrorKind::system) {
    return fail(place.usable.error());
  }
  if (dir) {
    place.last_resort = dir->is_last_resort();
    if (dir->root() >= 0) {
      place.policy = read_line_policy(*dir);
      place.policy_ignored = is_policy_ignored(*dir);
    }
  }
  Result<std::vector<ClaimElsewhere>> elsewhere = claims_elsewhere(paths, place.path);
  if (!elsewhere) return fail(elsewhere.error());
  place.elsewhere = std::move(*elsewhere);
  return place;
}

}  // namespace gpu_gate
