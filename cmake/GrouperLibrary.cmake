# grouper_library(NAME SOURCES a.cc ... DEPS lib ...): one folder's static library, our flags.
function(grouper_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE grouper_flags)
  target_include_directories(${name} PUBLIC ${GROUPER_ROOT})
endfunction()

# grouper_program(NAME SOURCES main.cc DEPS lib ...): a program in build/<preset>/bin.
function(grouper_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} grouper_flags)
endfunction()
