# grouper_cpu_kernels(TARGET x_cpu.cc ...): compiles each source per instruction set into object libraries
# and adds them to TARGET. One definition names the namespace, one the form of the 16-lane type. With FP64_APART
# the fp64 objects are left out of TARGET: a program that needs them links TARGET_fp64 as well.
function(grouper_cpu_kernels target)
  cmake_parse_arguments(ARG "FP64_APART" "" "" ${ARGN})
  foreach(variant avx512 avx2 scalar fp64)
    set(optimise -O3)
    if(GROUPER_SANITIZE)
      set(optimise -O1)  # unrolled lanes under UBSan compile three times as fast as with -O3
    elseif(variant STREQUAL scalar OR variant STREQUAL fp64)
      set(optimise -O2)  # lanes that are arrays compile three times as fast, and products run as fast
    endif()
    set(objects ${target}_${variant})
    add_library(${objects} OBJECT ${ARG_UNPARSED_ARGUMENTS})
    target_link_libraries(${objects} PRIVATE grouper_flags)
    target_include_directories(${objects} PRIVATE ${GROUPER_ROOT})
    string(TOUPPER ${variant} form)
    target_compile_definitions(${objects} PRIVATE GROUPER_VARIANT=${variant} GROUPER_FORM_${form})
    target_compile_options(${objects} PRIVATE ${optimise} -fno-exceptions -fno-rtti -fno-math-errno -fno-trapping-math)
    if(variant STREQUAL avx512)
      target_compile_options(${objects} PRIVATE
        -mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx2 -mfma -mprefer-vector-width=512
        -Wno-maybe-uninitialized)  # false alarms of g++ 12 in avx512fintrin.h
    elseif(variant STREQUAL avx2)
      target_compile_options(${objects} PRIVATE -mavx2 -mfma)
    endif()
    if(ARG_FP64_APART AND variant STREQUAL fp64)
      set_target_properties(${objects} PROPERTIES EXCLUDE_FROM_ALL ON)
    else()
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:${objects}>)
    endif()
  endforeach()
endfunction()
