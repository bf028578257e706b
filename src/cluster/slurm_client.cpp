#include "cluster/slurm_client.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/env.h"
#include "base/printable.h"
#include "cluster/srun_report.h"
#include "job/command.h"

namespace gpu_gate {

Result<SlurmClient> find_slurm_client(const char* const* environment) {
  const std::optional<std::string> path = env_variable(environment, env::kPath);
  SlurmClient client;
  for (const auto& [name, file] : {std::pair("srun", &client.srun),
                                   {"scancel", &client.scancel},
                                   {"scontrol", &client.scontrol},
                                   {"squeue", &client.squeue}}) {
    Result<std::string> found = find_command(name, path ? path->c_str() : nullptr);
    if (!found) {
      return fail(
          ErrorKind::gpu_state,
          std::string("there is no ") + name +
              " here: --on slurm needs Slurm's client commands in PATH, as on a login node of the "
              "cluster");
    }
    *file = *std::move(found);
  }
  const std::optional<std::string> configuration = env_setting(environment, env::kSlurmConf);
  struct stat info{};
  if (configuration && ::stat(configuration->c_str(), &info) != 0) {
    return fail(ErrorKind::gpu_state, "SLURM_CONF is " + printable(*configuration) + ": " +
                                          std::strerror(errno) +
                                          "; unset it, or name the cluster's slurm.conf");
  }
  return client;
}

}  // namespace gpu_gate
