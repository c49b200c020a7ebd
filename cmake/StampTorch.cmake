# LibTorch without find_package(Torch): that one demands a CUDA toolkit for CUDA builds even when only
# the CPU half is used. Order: -DSTAMP_TORCH, CMAKE_PREFIX_PATH, the repository's .venv.
set(_hints ${STAMP_TORCH})
foreach(p ${CMAKE_PREFIX_PATH})
  list(APPEND _hints ${p} ${p}/../..)
endforeach()
file(GLOB _venv ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
list(APPEND _hints ${_venv})
set(STAMP_TORCH_ROOT "")
foreach(h ${_hints})
  if(NOT STAMP_TORCH_ROOT AND EXISTS ${h}/include/ATen/ATen.h AND EXISTS ${h}/lib/libtorch_cpu.so)
    get_filename_component(STAMP_TORCH_ROOT ${h} ABSOLUTE)
  endif()
endforeach()
if(NOT STAMP_TORCH_ROOT)
  message(FATAL_ERROR "No LibTorch found (looked in: ${_hints}). Run scripts/setup.sh, or pass -DSTAMP_TORCH=/folder/with/include/and/lib")
endif()
message(STATUS "LibTorch: ${STAMP_TORCH_ROOT}")
add_library(stamp_torch INTERFACE)
target_include_directories(stamp_torch SYSTEM INTERFACE
  ${STAMP_TORCH_ROOT}/include ${STAMP_TORCH_ROOT}/include/torch/csrc/api/include)
target_link_directories(stamp_torch INTERFACE ${STAMP_TORCH_ROOT}/lib)
target_link_libraries(stamp_torch INTERFACE
  -Wl,--no-as-needed ${STAMP_TORCH_ROOT}/lib/libtorch_cpu.so ${STAMP_TORCH_ROOT}/lib/libc10.so -Wl,--as-needed)
target_link_options(stamp_torch INTERFACE -Wl,-rpath,${STAMP_TORCH_ROOT}/lib)
# LibTorch ships headers of its own {fmt} version, which shadow the system's; without this, files that include both
# would link against functions of a library that is not there.
target_compile_definitions(stamp_torch INTERFACE FMT_HEADER_ONLY)
