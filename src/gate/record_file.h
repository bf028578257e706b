#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// Records as files of the lock directory: whole, small, regular, of one owner.
namespace gpu_gate {

struct RecordFile {
  std::string text;
  uid_t uid = 0;  // its owner
};

/// Reads the record `name` in the directory `dir`; nothing unless it is a regular file of at most
/// kMaxRecordBytes that this user may read, and belongs to `owner` if one is given. Never blocks.
std::optional<RecordFile> read_record_file(int dir, const std::string& name,
                                           std::optional<uid_t> owner);

/// Makes the record; nothing of it is left where that fails. Errors: lock_file, system; errnum
/// EEXIST if the name is taken.
Status write_record_file(int dir, const std::string& name, const std::string& text);

/// Replaces the record `name` in one step, by way of a file called `new_name`. Errors as above.
Status replace_record_file(int dir, const std::string& name, const std::string& new_name,
                           const std::string& text);

/// Is it that there is no room left, for anybody or for this user?
bool lacks_room(const Error& error);

/// The error of a file that could not be made: ErrorKind::replaced where the directory itself has
/// vanished.
Error creation_error(Error error);

/// Another ticket is tried so often where a file of that name is there already.
constexpr int kMaxTicketTries = 64;

/// The names in the directory, less those that begin with a dot. Moves the position of the
/// descriptor. Errors: lock_file, system.
Result<std::vector<std::string>> names_in(int dir);

/// The same without a copy of each. What is visited is gone with the call.
Status for_each_name(int dir, const std::function<void(std::string_view)>& visit);

/// May this user remove a file of that owner from a sticky directory (unlink(2))?
bool may_remove(uid_t owner);

}  // namespace gpu_gate
