# What `cmake --install` puts where, and what the Debian package holds (packaging/debian.cmake).
#   program  the program and the completions whose place is the same everywhere
#   local    the rest of `cmake --install`
#   debian   the same in Debian's places, with what only a package brings; left out by `cmake --install`

# The date of the man page and the package: of the last commit, so that two builds of it are the same.
set(source_date $ENV{SOURCE_DATE_EPOCH})
if(NOT source_date)
  execute_process(COMMAND git log -1 --format=%ct WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
                  OUTPUT_VARIABLE source_date OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT source_date)
  file(TIMESTAMP ${CMAKE_SOURCE_DIR}/CHANGELOG.md source_date "%s" UTC)
endif()

include(GNUInstallDirs)
set(packaging ${CMAKE_CURRENT_LIST_DIR})
install(TARGETS gpu-gate RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)

# What the man page and the completions say of the options is made from the program's own tables, by a
# program that is built and run here (src/cli/reference.h). To cross-compile, set
# CMAKE_CROSSCOMPILING_EMULATOR; a wheel has neither page nor completions.
add_executable(reference ${CMAKE_SOURCE_DIR}/src/reference.cpp)
set_target_properties(reference PROPERTIES UNITY_BUILD OFF)
target_link_libraries(reference PRIVATE gate_core)
set(filled ${CMAKE_BINARY_DIR}/reference_files)
file(MAKE_DIRECTORY ${filled})
foreach(template ${CMAKE_SOURCE_DIR}/docs/gpu-gate.1.scd.in ${packaging}/completions/gpu-gate.bash.in
                 ${packaging}/completions/gpu-gate.fish.in ${packaging}/completions/_gpu-gate.in)
  get_filename_component(name ${template} NAME_WLE)
  add_custom_command(OUTPUT ${filled}/${name} COMMAND reference ${template} ${filled}/${name}
                     DEPENDS reference ${template} VERBATIM)
  list(APPEND filled_files ${filled}/${name})
endforeach()
add_custom_target(reference_files ALL DEPENDS ${filled_files})

install(FILES ${filled}/gpu-gate.bash RENAME gpu-gate
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT program)
install(FILES ${filled}/gpu-gate.fish
        DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT program)
install(FILES ${filled}/_gpu-gate
        DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT local)
install(FILES ${filled}/_gpu-gate
        DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions COMPONENT debian EXCLUDE_FROM_ALL)

find_program(SCDOC scdoc)
if(SCDOC)
  set(man_page ${CMAKE_BINARY_DIR}/gpu-gate.1)
  add_custom_command(
    OUTPUT ${man_page} ${man_page}.gz
    COMMAND ${CMAKE_COMMAND} -E env SOURCE_DATE_EPOCH=${source_date}
            sh -c [["$0" <"$1" >"$2" && gzip -9nc "$2" >"$2.gz"]]
            ${SCDOC} ${filled}/gpu-gate.1.scd ${man_page}
    DEPENDS ${filled}/gpu-gate.1.scd VERBATIM)
  add_custom_target(man_page ALL DEPENDS ${man_page})
  add_dependencies(man_page reference_files)
  install(FILES ${man_page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT local)
  install(FILES ${man_page}.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT debian EXCLUDE_FROM_ALL)
else()
  message(STATUS "scdoc is not installed: no man page")
endif()

include(${packaging}/debian.cmake)
