# Small functions so that every module's CMakeLists.txt is a few lines.

# Flags for our own code only; third-party headers are SYSTEM.
add_library(stamp_flags INTERFACE)
target_compile_options(stamp_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Werror)
# Wide vectors never cross a library, so how they would be passed on a processor without AVX-512 does not matter.
target_compile_options(stamp_flags INTERFACE -Wno-psabi)
if(STAMP_NATIVE)
  target_compile_options(stamp_flags INTERFACE -march=native)
endif()
if(STAMP_SANITIZE)
  target_compile_options(stamp_flags INTERFACE -fsanitize=${STAMP_SANITIZE} -fno-omit-frame-pointer -g)
  target_link_options(stamp_flags INTERFACE -fsanitize=${STAMP_SANITIZE})
endif()
target_include_directories(stamp_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)

# stamp_library(NAME [SOURCES a.cpp ...] LINKS lib ... [TORCH]): without SOURCES every .cpp of the folder, so that a
# plugin is a header, a source and its registration line.
function(stamp_library name)
  cmake_parse_arguments(A "TORCH" "" "SOURCES;LINKS" ${ARGN})
  if(NOT A_SOURCES)
    file(GLOB A_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  endif()
  if(NOT A_SOURCES)
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE stamp_flags ${A_LINKS})
    return()
  endif()
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC stamp_flags ${A_LINKS})
  if(A_TORCH)
    target_link_libraries(${name} PUBLIC stamp_torch)
  endif()
endfunction()

# stamp_test(NAME SOURCES a.cpp ... LINKS lib ...): one program, one ctest entry.
function(stamp_test name)
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE stamp_flags stamp_test_support ${A_LINKS})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE STAMP_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${A_TIMEOUT} ENVIRONMENT "STAMP_BIN_DIR=${CMAKE_BINARY_DIR}/bin")
endfunction()
