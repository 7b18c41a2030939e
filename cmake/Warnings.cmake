# Flags of every target of ours. Contraction is off everywhere: a*b+c fuses only where fma is written
# out, so Debug, Release and every instruction set give the same bits (docs/numerics.md 12).
add_library(grouper_flags INTERFACE)
target_compile_options(grouper_flags INTERFACE
  -ffp-contract=off -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Werror=return-type
  -fstack-protector-strong)
target_compile_definitions(grouper_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
if(NOT GROUPER_ROOT)
  set(GROUPER_ROOT ${CMAKE_SOURCE_DIR})
endif()
target_include_directories(grouper_flags INTERFACE ${GROUPER_ROOT})
if(GROUPER_SANITIZE)
  add_compile_options(-fsanitize=${GROUPER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${GROUPER_SANITIZE})
endif()
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
