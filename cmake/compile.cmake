# How our own code is compiled: the language, the warnings, and what each preset adds to them.
# Everything of ours links orderly_compile; nothing of others does, so their code may warn.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# Without this CMake compiles -fPIE but never links -pie.
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

add_library(orderly_compile INTERFACE)
target_include_directories(orderly_compile INTERFACE "${CMAKE_SOURCE_DIR}/include")
target_link_libraries(orderly_compile INTERFACE Threads::Threads)
target_compile_definitions(orderly_compile INTERFACE _GNU_SOURCE)
target_compile_options(orderly_compile INTERFACE
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wconversion -Wundef -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Wimplicit-fallthrough
    -Wdouble-promotion -Wdate-time
    $<$<C_COMPILER_ID:GNU>:-Wlogical-op -Wduplicated-cond -Wtrampolines>
    $<$<BOOL:${ORDERLY_WERROR}>:-Werror>
    -fno-common -fno-omit-frame-pointer
    "SHELL:-include ${CMAKE_SOURCE_DIR}/include/orderly/banned.h")

# -O2 and nothing that switches a check off: REQUIRE and its kin do not know NDEBUG, and no
# assert() is used, so CMake's own -O3 -DNDEBUG is replaced.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O0 -g3")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O1 -g")

# Sanitizers and coverage count for every object of the build, ours or not.
if(ORDERLY_SANITIZE STREQUAL "address")
    add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all)
    add_link_options(-fsanitize=address,undefined)
elseif(ORDERLY_SANITIZE STREQUAL "thread")
    add_compile_options(-fsanitize=thread)
    add_link_options(-fsanitize=thread)
elseif(NOT ORDERLY_SANITIZE STREQUAL "")
    message(FATAL_ERROR "ORDERLY_SANITIZE is '${ORDERLY_SANITIZE}'; it may be address, thread or empty.")
endif()

# libFuzzer's hooks, in all that the inputs run through; a target also links its main.
if(ORDERLY_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "libFuzzer comes with clang; './dev fuzz' uses it.")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(ORDERLY_COVERAGE)
    add_compile_options(--coverage -fprofile-update=atomic)
    add_link_options(--coverage -Wl,--wrap=_exit)
    add_library(orderly_coverage_exit STATIC "${CMAKE_SOURCE_DIR}/tests/coverage/exit.c")
    target_link_libraries(orderly_compile INTERFACE orderly_coverage_exit)
endif()

if(ORDERLY_HARDEN)
    include(CheckCCompilerFlag)
    # Level 3 needs gcc 12 or clang 9 and a C library that knows it; an older one takes it as 2.
    # A distribution may set a level of its own, hence the -U.
    add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong)
    check_c_compiler_flag(-fstack-clash-protection ORDERLY_HAS_STACK_CLASH)
    if(ORDERLY_HAS_STACK_CLASH)
        add_compile_options(-fstack-clash-protection)
    endif()
    check_c_compiler_flag(-fcf-protection=full ORDERLY_HAS_CF_PROTECTION)
    if(ORDERLY_HAS_CF_PROTECTION)
        add_compile_options(-fcf-protection=full)
    endif()
    add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
endif()

if(ORDERLY_LTO)
    include(CheckIPOSupported)
    check_ipo_supported(RESULT ORDERLY_HAS_LTO OUTPUT ORDERLY_LTO_WHY_NOT LANGUAGES C)
    if(ORDERLY_HAS_LTO)
        set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
    else()
        message(STATUS "Link-time optimisation: not with this tool chain, building without")
    endif()
endif()
