# The Debian package, by `cpack -G DEB` in the build folder. Two builds of one commit (and one
# umask) are the same, bit for bit.

set(maintainer "The gpu-gate authors <gpu-gate@users.noreply.github.com>")
set(GPU_GATE_MAINTAINER "${maintainer}" CACHE STRING "The maintainer that the Debian package names")

set(debian_changelog ${CMAKE_BINARY_DIR}/changelog.gz)
add_custom_command(
  OUTPUT ${debian_changelog}
  COMMAND sh -c [[awk -v version="$0" -v maintainer="$1" -v now="$2" -f "$3" "$4" | gzip -9n >"$5"]]
          ${PROJECT_VERSION} ${GPU_GATE_MAINTAINER} ${source_date} ${packaging}/debian/changelog.awk
          ${CMAKE_SOURCE_DIR}/CHANGELOG.md ${debian_changelog}
  DEPENDS ${packaging}/debian/changelog.awk ${CMAKE_SOURCE_DIR}/CHANGELOG.md VERBATIM)
add_custom_target(debian_changelog ALL DEPENDS ${debian_changelog})

install(FILES ${debian_changelog} ${packaging}/debian/copyright
        DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES ${packaging}/debian/tmpfiles.conf RENAME gpu-gate.conf
        DESTINATION lib/tmpfiles.d COMPONENT debian EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_COMPONENTS_ALL program debian)
set(CPACK_STRIP_FILES ON)

set(CPACK_PACKAGE_CONTACT "${GPU_GATE_MAINTAINER}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "wait for a free GPU, claim it, run a command on it")
set(CPACK_PACKAGE_DESCRIPTION
"For shared GPU machines without a cluster scheduler: all users stand in one
fair line, two callers never get the same GPU, and the next job starts about
a millisecond after the last one has let go. There is no daemon and nothing
to set up.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${packaging}/debian/postinst ${packaging}/debian/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# Runs before the files are packed: the folders are readable, whatever the umask is.
set(CPACK_PRE_BUILD_SCRIPTS ${packaging}/debian/folders.cmake)
# cpack takes the times of files in the package from the environment.
file(WRITE ${CMAKE_BINARY_DIR}/cpack_date.cmake "set(ENV{SOURCE_DATE_EPOCH} ${source_date})\n")
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_BINARY_DIR}/cpack_date.cmake)
include(CPack)
