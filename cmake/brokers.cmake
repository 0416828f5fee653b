# orderly_add_broker(NAME MODULE LEAST PACKAGE [MODULE...])
#
# The adapter of src/brokers/NAME as a shared object orderly-NAME.so beside the program, which loads
# it only where a relay is configured. Built where pkg-config knows the client library MODULE in at
# least the version LEAST, which PACKAGE holds, and the further modules, which PACKAGE brings with it;
# otherwise left out, aloud. ORDERLY_BROKERS names those that must be there, so that a package is not
# built without one by accident.
set(ORDERLY_BROKERS "" CACHE STRING "Brokers' adapters that must be built (nats;kafka;rabbitmq); the others are where their libraries are")

function(orderly_add_broker name module least package)
    file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/src/brokers/${name}/*.c")
    if(NOT sources)
        return()
    endif()
    pkg_check_modules(broker_${name} IMPORTED_TARGET "${module}>=${least}" ${ARGN})
    if(NOT broker_${name}_FOUND)
        if(name IN_LIST ORDERLY_BROKERS)
            message(FATAL_ERROR "${module} >= ${least} is missing. Install ${package}.")
        endif()
        message(STATUS "No adapter for ${name}: ${module} >= ${least} (${package}) is not here.")
        return()
    endif()
    add_library(orderly-${name} MODULE ${sources})
    set_target_properties(orderly-${name} PROPERTIES
        PREFIX ""
        C_VISIBILITY_PRESET hidden
        LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
    # What is linked into it is its own: the program has some of the same code.
    target_link_options(orderly-${name} PRIVATE -Wl,--exclude-libs,ALL)
    target_link_libraries(orderly-${name} PRIVATE
        orderly_compile orderly_base PkgConfig::broker_${name})
endfunction()
