# CHANGELOG.md as a Debian changelog. What is not released yet belongs to `version` and to the time
# `now`, in seconds.

function date(when,    command, text) {
  command = "LC_ALL=C date -u -R -d '" when "'"
  command | getline text
  close(command)
  return text
}

# Prints the item that was read, in lines of at most 80 columns.
function flush(    words, count, i, line) {
  count = split(item, words, " ")
  line = "  *"
  for (i = 1; i <= count; i++) {
    if (length(line " " words[i]) > 80) {
      print line
      line = "   "
    }
    line = line " " words[i]
  }
  if (count) print line
  item = ""
}

function finish() {
  flush()
  if (stamp) printf "\n -- %s  %s\n", maintainer, stamp
}

/^## \[/ {
  finish()
  if (stamp) print ""
  stamp = date($4 ? $4 : "@" now)
  name = $2
  gsub(/[][]/, "", name)
  printf "gpu-gate (%s) unstable; urgency=medium\n\n", name == "Unreleased" ? version : name
}
/^- / { flush(); item = substr($0, 3) }
/^  / { item = item " " $0 }
END { finish() }
