# Compiler settings, and the helpers every folder uses: volley_library, volley_test, volley_fuzzer.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Paths below the checkout count as relative ones, so that two clones share what is compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
      "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1 "${CCACHE_PROGRAM}")
endif()

add_library(volley_options INTERFACE)
target_include_directories(volley_options INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_options(volley_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror)
if(VOLLEY_SANITIZE)
  target_compile_options(volley_options INTERFACE -fsanitize=${VOLLEY_SANITIZE}
    -fno-omit-frame-pointer -fno-sanitize-recover=all)
  # The vptr check asks the kernel through a pipe whether memory can be read, so in the tests that use
  # up all descriptors it takes every object for a broken one.
  if(VOLLEY_SANITIZE MATCHES "undefined")
    target_compile_options(volley_options INTERFACE -fno-sanitize=vptr)
  endif()
  target_link_options(volley_options INTERFACE -fsanitize=${VOLLEY_SANITIZE})
endif()
if(VOLLEY_BUILD_FUZZERS)
  target_compile_options(volley_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# volley_library(NAME [DEPS target...]): one static library of every .cc file in the folder.
function(volley_library name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cc")
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC volley_options ${ARG_DEPS})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE volley_options ${ARG_DEPS})
  endif()
endfunction()

# volley_test(NAME [DEPS target...]): one GoogleTest program of every *_test.cc file in the folder.
# A test program's tests are registered one by one with CTest, so a failure is named there.
function(volley_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "DEPS;SOURCES" ${ARGN})
  if(NOT ARG_SOURCES)
    file(GLOB ARG_SOURCES CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*_test.cc")
  endif()
  if(NOT ARG_SOURCES)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE volley_options ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE
    VOLLEY_TESTS_DIR="${PROJECT_SOURCE_DIR}/tests"
    VOLLEY_SHARED_DATA_DIR="${PROJECT_SOURCE_DIR}/../shared/data")
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT ${ARG_TIMEOUT})
endfunction()

# volley_fuzzer(NAME SOURCE [DEPS target...]): a libFuzzer program (preset "fuzz"), and in every
# other build the same source linked with a driver that replays its corpus as an ordinary test.
function(volley_fuzzer name source)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  set(corpus "${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name}")
  if(VOLLEY_BUILD_FUZZERS)
    add_executable(fuzz_${name} ${source})
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(fuzz_${name} ${source} "${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.cc")
    add_test(NAME Fuzz.Replay.${name} COMMAND fuzz_${name} "${corpus}")
  endif()
  target_link_libraries(fuzz_${name} PRIVATE volley_options ${ARG_DEPS})
endfunction()
