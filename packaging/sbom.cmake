# Writes the list of what is linked into the program, as SPDX 2.3 in JSON, and sets GPU_GATE_SBOM to
# its path. The preprocessor tells the versions, so they are those of this very build.

set(probe ${CMAKE_CURRENT_BINARY_DIR}/sbom_probe.cpp)
file(WRITE ${probe} [[
#include <fmt/core.h>
#include <nlohmann/json.hpp>
#include <tl/expected.hpp>
@fmt:FMT_VERSION
@nlohmann:NLOHMANN_JSON_VERSION_MAJOR:NLOHMANN_JSON_VERSION_MINOR:NLOHMANN_JSON_VERSION_PATCH
@expected:TL_EXPECTED_VERSION_MAJOR:TL_EXPECTED_VERSION_MINOR:TL_EXPECTED_VERSION_PATCH
#ifdef _LIBCPP_VERSION
@libcxx:_LIBCPP_VERSION
#else
@libstdcxx:__GNUC__:__GNUC_MINOR__:__GNUC_PATCHLEVEL__
#endif
]])
get_target_property(folders headers INTERFACE_INCLUDE_DIRECTORIES)
list(REMOVE_DUPLICATES folders)
list(TRANSFORM folders PREPEND -I)
execute_process(COMMAND ${CMAKE_CXX_COMPILER} -std=c++20 -E -P ${folders} ${probe}
                OUTPUT_VARIABLE told RESULT_VARIABLE problem)
if(problem)
  message(FATAL_ERROR "The versions of the headers cannot be read: ${problem}")
endif()

# version_of(VARIABLE NAME): "3.11.2" from "@nlohmann:3:11:2"; from one number of two digits a step where the
# library has only that ("@fmt:90100" is 9.1.0, "@libcxx:200100" is 20.1.0).
function(version_of variable name)
  string(REGEX MATCH "@${name}:[0-9: ]+" line "${told}")
  string(REGEX MATCHALL "[0-9]+" numbers "${line}")
  list(LENGTH numbers count)
  if(count EQUAL 1)
    math(EXPR major "${numbers} / 10000")
    math(EXPR minor "${numbers} / 100 % 100")
    math(EXPR patch "${numbers} % 100")
    set(numbers ${major} ${minor} ${patch})
  endif()
  list(JOIN numbers "." version)
  set(${variable} "${version}" PARENT_SCOPE)
endfunction()

set(packages)
set(relations)
function(add_part id name version licence url)
  string(APPEND packages ",
    {\"SPDXID\": \"SPDXRef-${id}\", \"name\": \"${name}\", \"versionInfo\": \"${version}\",
     \"downloadLocation\": \"${url}\", \"filesAnalyzed\": false,
     \"licenseConcluded\": \"${licence}\", \"licenseDeclared\": \"${licence}\", \"copyrightText\": \"NOASSERTION\"}")
  string(APPEND relations ",
    {\"spdxElementId\": \"SPDXRef-gpu-gate\", \"relationshipType\": \"STATIC_LINK\", \"relatedSpdxElement\": \"SPDXRef-${id}\"}")
  set(packages "${packages}" PARENT_SCOPE)
  set(relations "${relations}" PARENT_SCOPE)
endfunction()

foreach(name fmt nlohmann expected libcxx libstdcxx)
  version_of(${name}_version ${name})
endforeach()
add_part(fmt fmt "${fmt_version}" MIT https://github.com/fmtlib/fmt)
add_part(nlohmann-json nlohmann-json "${nlohmann_version}" MIT https://github.com/nlohmann/json)
add_part(tl-expected tl-expected "${expected_version}" CC0-1.0 https://github.com/TartanLlama/expected)
if(libcxx_version)
  set(llvm "Apache-2.0 WITH LLVM-exception")
  foreach(name libcxx libcxxabi libunwind)
    add_part(${name} ${name} "${libcxx_version}" "${llvm}" https://github.com/llvm/llvm-project)
  endforeach()
else()
  set(gcc "GPL-3.0-or-later WITH GCC-exception-3.1")
  foreach(name libstdcxx libgcc)
    add_part(${name} ${name} "${libstdcxx_version}" "${gcc}" https://gcc.gnu.org)
  endforeach()
endif()

string(TIMESTAMP now "%Y-%m-%dT%H:%M:%SZ" UTC)  # SOURCE_DATE_EPOCH, where it is set
set(GPU_GATE_SBOM ${CMAKE_CURRENT_BINARY_DIR}/gpu-gate.spdx.json)
file(WRITE ${GPU_GATE_SBOM} "{
  \"spdxVersion\": \"SPDX-2.3\", \"dataLicense\": \"CC0-1.0\", \"SPDXID\": \"SPDXRef-DOCUMENT\",
  \"name\": \"gpu-gate-${PROJECT_VERSION}\",
  \"documentNamespace\": \"https://spdx.org/spdxdocs/gpu-gate-${PROJECT_VERSION}-${CMAKE_SYSTEM_PROCESSOR}-${now}\",
  \"creationInfo\": {\"created\": \"${now}\", \"creators\": [\"Tool: gpu-gate-${PROJECT_VERSION}\"]},
  \"packages\": [
    {\"SPDXID\": \"SPDXRef-gpu-gate\", \"name\": \"gpu-gate\", \"versionInfo\": \"${PROJECT_VERSION}\",
     \"downloadLocation\": \"NOASSERTION\", \"filesAnalyzed\": false,
     \"licenseConcluded\": \"MIT\", \"licenseDeclared\": \"MIT\", \"copyrightText\": \"NOASSERTION\"}${packages}
  ],
  \"relationships\": [
    {\"spdxElementId\": \"SPDXRef-DOCUMENT\", \"relationshipType\": \"DESCRIBES\", \"relatedSpdxElement\": \"SPDXRef-gpu-gate\"}${relations}
  ]
}
")
