# The messages of proto/ as C, made in the build folder by protoc-c. The runtime is linked statically
# where its package has an archive, so that the program asks for no library more.
find_program(PROTOC_C protoc-c)
if(NOT PROTOC_C)
    message(FATAL_ERROR "protoc-c is missing. './dev setup' installs it.")
endif()
orderly_need_package(protobuf_c libprotobuf-c 1.3)

set(proto_out "${CMAKE_BINARY_DIR}/proto")
set(proto_files orderly/v1/messages io/cloudevents/v1/cloudevents
    google/protobuf/any google/protobuf/timestamp)
set(proto_sources)
foreach(file IN LISTS proto_files)
    set(depends)
    if(EXISTS "${CMAKE_SOURCE_DIR}/proto/${file}.proto")
        set(depends "${CMAKE_SOURCE_DIR}/proto/${file}.proto")
    endif()
    add_custom_command(
        OUTPUT "${proto_out}/${file}.pb-c.c" "${proto_out}/${file}.pb-c.h"
        COMMAND ${CMAKE_COMMAND} -E make_directory "${proto_out}"
        COMMAND "${PROTOC_C}" "-I${CMAKE_SOURCE_DIR}/proto" -I/usr/include
                "--c_out=${proto_out}" "${file}.proto"
        DEPENDS ${depends}
        VERBATIM)
    list(APPEND proto_sources "${proto_out}/${file}.pb-c.c" "${proto_out}/${file}.pb-c.h")
endforeach()
add_library(orderly_proto STATIC ${proto_sources})
set_target_properties(orderly_proto PROPERTIES C_CLANG_TIDY "")
target_compile_options(orderly_proto PRIVATE -w)
target_include_directories(orderly_proto SYSTEM PUBLIC "${proto_out}")
find_library(PROTOBUF_C_ARCHIVE NAMES libprotobuf-c.a)
if(PROTOBUF_C_ARCHIVE)
    target_link_libraries(orderly_proto PUBLIC "${PROTOBUF_C_ARCHIVE}")
else()
    target_link_libraries(orderly_proto PUBLIC third_party::protobuf_c)
endif()
