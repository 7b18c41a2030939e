# ccache where it is installed. Paths count from the root of the repository, so that clones, worktrees and the build
# of kernels alone share what the cache holds.
find_program(GROUPER_CCACHE ccache)
if(GROUPER_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${GROUPER_ROOT} CCACHE_NOHASHDIR=1
      ${GROUPER_CCACHE})
endif()
