# The libraries we stand on; third_party/README.md says what each is for. A missing one ends the
# configure with the way to get it.

find_package(PkgConfig REQUIRED)

function(orderly_need_package target module least)
    pkg_check_modules(${target} IMPORTED_TARGET "${module}>=${least}")
    if(NOT ${target}_FOUND)
        message(FATAL_ERROR "${module} >= ${least} is missing. './dev setup' installs it.")
    endif()
    add_library(third_party::${target} ALIAS PkgConfig::${target})
endfunction()

# Reads "#define NAME value" from a header, for the two libraries that come without pkg-config
# when they are fetched.
function(orderly_read_define header name result)
    file(STRINGS "${header}" line REGEX "^#define[ \t]+${name}[ \t]+[0-9]+" LIMIT_COUNT 1)
    string(REGEX REPLACE "^#define[ \t]+${name}[ \t]+([0-9]+).*" "\\1" value "${line}")
    set(${result} "${value}" PARENT_SCOPE)
endfunction()

function(orderly_need_version name header prefix least)
    orderly_read_define("${header}" "${prefix}_MAJOR" major)
    orderly_read_define("${header}" "${prefix}_MINOR" minor)
    if("${major}.${minor}" VERSION_LESS least)
        message(FATAL_ERROR "${name} ${major}.${minor} in ${header} is too old; ${least} is needed.")
    endif()
endfunction()

orderly_need_package(uv libuv 1.44)
orderly_need_package(sodium libsodium 1.0.18)
orderly_need_package(lmdb lmdb 0.9.24)
if(ORDERLY_MIMALLOC)
    find_library(MIMALLOC_LIBRARY NAMES mimalloc)
    if(NOT MIMALLOC_LIBRARY)
        message(FATAL_ERROR "mimalloc is missing. './dev setup' installs it.")
    endif()
    add_library(third_party_mimalloc UNKNOWN IMPORTED)
    set_target_properties(third_party_mimalloc PROPERTIES IMPORTED_LOCATION "${MIMALLOC_LIBRARY}")
    add_library(third_party::mimalloc ALIAS third_party_mimalloc)
endif()
if(ORDERLY_TESTS)
    orderly_need_package(cmocka cmocka 1.1.5)
endif()

# llhttp: the static library, so that nothing of the build folder is needed at run time.
set(fetched "${ORDERLY_THIRD_PARTY_DIR}/root/usr")
file(GLOB fetched_libs LIST_DIRECTORIES true "${fetched}/lib/*")
find_path(LLHTTP_INCLUDE_DIR llhttp.h HINTS "${fetched}/include")
find_library(LLHTTP_LIBRARY NAMES libllhttp.a HINTS ${fetched_libs})
if(NOT LLHTTP_INCLUDE_DIR OR NOT LLHTTP_LIBRARY)
    message(FATAL_ERROR "llhttp is missing. './dev setup' installs or fetches it.")
endif()
orderly_need_version(llhttp "${LLHTTP_INCLUDE_DIR}/llhttp.h" LLHTTP_VERSION 9.2)
add_library(third_party_llhttp STATIC IMPORTED)
set_target_properties(third_party_llhttp PROPERTIES
    IMPORTED_LOCATION "${LLHTTP_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${LLHTTP_INCLUDE_DIR}")
add_library(third_party::llhttp ALIAS third_party_llhttp)

# yyjson: Debian's package holds a shared library only. Where it had to be fetched its source
# package is compiled into ours; where it is installed the shared library is found by the loader.
set(yyjson_source "${ORDERLY_THIRD_PARTY_DIR}/yyjson/src")
if(EXISTS "${yyjson_source}/yyjson.c")
    set(YYJSON_HEADER "${yyjson_source}/yyjson.h")
    add_library(third_party_yyjson STATIC "${yyjson_source}/yyjson.c")
    target_include_directories(third_party_yyjson SYSTEM INTERFACE "${yyjson_source}")
    target_compile_options(third_party_yyjson PRIVATE -w)
    set_target_properties(third_party_yyjson PROPERTIES C_CLANG_TIDY "")
    # Its parser reads unaligned words on purpose.
    if(ORDERLY_SANITIZE STREQUAL "address")
        target_compile_options(third_party_yyjson PRIVATE -fno-sanitize=undefined)
    endif()
else()
    find_path(YYJSON_INCLUDE_DIR yyjson.h)
    find_library(YYJSON_LIBRARY NAMES yyjson)
    if(NOT YYJSON_INCLUDE_DIR OR NOT YYJSON_LIBRARY)
        message(FATAL_ERROR "yyjson is missing. './dev setup' installs or fetches it.")
    endif()
    set(YYJSON_HEADER "${YYJSON_INCLUDE_DIR}/yyjson.h")
    add_library(third_party_yyjson UNKNOWN IMPORTED)
    set_target_properties(third_party_yyjson PROPERTIES
        IMPORTED_LOCATION "${YYJSON_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${YYJSON_INCLUDE_DIR}")
endif()
orderly_need_version(yyjson "${YYJSON_HEADER}" YYJSON_VERSION 0.10)
add_library(third_party::yyjson ALIAS third_party_yyjson)
