# orderly_add_library(name folder [PURE] LINKS ...)
#
# A static library of every .c below the folder; a new file needs no edit here. Static, so that a
# test can list what the archive leaves undefined. PURE code is compiled with src/forbidden first
# on the include path: a header of a library it may not know ends the compilation.
function(orderly_add_library name folder)
    cmake_parse_arguments(PARSE_ARGV 2 arg "PURE" "" "LINKS")
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${folder}/*.c")
    if(NOT sources)
        add_library(${name} INTERFACE)
        target_link_libraries(${name} INTERFACE ${arg_LINKS})
        return()
    endif()
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PRIVATE orderly_compile PUBLIC ${arg_LINKS})
    if(arg_PURE)
        target_include_directories(${name} BEFORE PRIVATE "${CMAKE_SOURCE_DIR}/src/forbidden")
    endif()
endfunction()
