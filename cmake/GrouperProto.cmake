# grouper_proto_library(NAME PROTOS a.proto ... DEPS lib ...): generated messages; names include the
# folder ("proto/a.pb.h"). With GRPC, the service stubs of the same files instead.
# Debian 12's protobuf_generate drops the folder from the name, hence our own rule.
function(grouper_proto_library name)
  cmake_parse_arguments(ARG "GRPC" "" "PROTOS;DEPS" ${ARGN})
  set(out ${CMAKE_BINARY_DIR}/generated)
  set(sources)
  foreach(file ${ARG_PROTOS})
    get_filename_component(stem ${file} NAME_WE)
    set(base ${out}/proto/${stem})
    if(ARG_GRPC)
      set(made ${base}.grpc.pb.cc ${base}.grpc.pb.h)
      set(args --grpc_out=${out} --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>)
    else()
      set(made ${base}.pb.cc ${base}.pb.h)
      set(args --cpp_out=${out})
    endif()
    add_custom_command(OUTPUT ${made}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
      COMMAND protobuf::protoc ${args} -I${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/proto/${file}
      DEPENDS ${CMAKE_SOURCE_DIR}/proto/${file} VERBATIM)
    list(APPEND sources ${made})
  endforeach()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} SYSTEM PUBLIC ${out})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS})
  target_compile_options(${name} PRIVATE -O1 -w)
endfunction()
