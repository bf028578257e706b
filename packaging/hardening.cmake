# Hardening for project_options, as tests/check_hardening.sh demands it of what we ship. What a packager has given in
# CXXFLAGS or LDFLAGS stands: a flag is ours only where theirs say nothing of the same thing.

# harden_compiler(WHAT FLAG ...): these, unless WHAT, a regular expression, is in the flags that were given.
function(harden_compiler what)
  if(NOT CMAKE_CXX_FLAGS MATCHES "${what}")
    target_compile_options(project_options INTERFACE ${ARGN})
  endif()
endfunction()

# harden_compiler_that_has(WHAT FLAG): the same, if the compiler has that flag for this processor.
include(CheckCXXCompilerFlag)
function(harden_compiler_that_has what flag)
  string(MAKE_C_IDENTIFIER "COMPILER_HAS${flag}" variable)
  check_cxx_compiler_flag("-Werror ${flag}" ${variable})
  if(${variable})
    harden_compiler("${what}" ${flag})
  endif()
endfunction()

# harden_linker(WHAT FLAG)
function(harden_linker what flag)
  if(NOT "${CMAKE_EXE_LINKER_FLAGS} ${CMAKE_CXX_FLAGS}" MATCHES "${what}")
    target_link_options(project_options INTERFACE ${flag})
  endif()
endfunction()

harden_compiler("-f(no-)?stack-protector" -fstack-protector-strong)
harden_compiler_that_has("-f(no-)?stack-clash-protection" -fstack-clash-protection)
harden_compiler_that_has("-fcf-protection" -fcf-protection)  # x86
harden_compiler_that_has("-mbranch-protection" -mbranch-protection=standard)  # ARM
harden_compiler("_GLIBCXX_ASSERTIONS" -D_GLIBCXX_ASSERTIONS)

# Level 3 counts what is known while the program runs; the compiler must know how.
include(CheckCXXSourceCompiles)
check_cxx_source_compiles("
  #if !__has_builtin(__builtin_dynamic_object_size)
  #error
  #endif
  int main() {}" COMPILER_HAS_FORTIFY_3)
set(fortify 2)
if(COMPILER_HAS_FORTIFY_3)
  set(fortify 3)
endif()
# It needs an optimising compiler. -U, since some distributions' compilers define it by themselves.
if(NOT GPU_GATE_SANITIZE)
  harden_compiler("_FORTIFY_SOURCE" $<$<CONFIG:Release>:-U_FORTIFY_SOURCE>
                  $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=${fortify}>)
endif()

harden_linker("-z,?(no)?relro" -Wl,-z,relro)
harden_linker("-z,?(now|lazy)" -Wl,-z,now)

# The sanitizers' programs stay where they are (CMakeLists.txt).
if(NOT DEFINED CMAKE_POSITION_INDEPENDENT_CODE AND NOT GPU_GATE_SANITIZE)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
endif()
include(CheckPIESupported)
check_pie_supported()
