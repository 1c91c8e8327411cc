# Only read by `pip install` (see pyproject.toml); colcon never reads it.

# 1. The ROS installation is found through its Python package: the PyPI wheels live in a Python prefix that no setup.bash
#    describes. A sourced ROS installation has described itself already.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
execute_process(
  COMMAND ${Python3_EXECUTABLE} -c
    "import ament_package, pathlib; print(pathlib.Path(ament_package.__file__).resolve().parents[4])"
  OUTPUT_VARIABLE _prefix OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
list(PREPEND CMAKE_PREFIX_PATH ${_prefix})
if(NOT DEFINED ENV{AMENT_PREFIX_PATH})
  set(ENV{AMENT_PREFIX_PATH} ${_prefix})
endif()
message(STATUS "ROS prefix: ${_prefix}")

# 2. The wheels' targets export the Python and NumPy include directories of the container they were built in.
function(_drop_dead_include_directories)
  get_directory_property(_targets IMPORTED_TARGETS)
  foreach(_target IN LISTS _targets)
    get_target_property(_directories ${_target} INTERFACE_INCLUDE_DIRECTORIES)
    if(_directories)
      list(FILTER _directories EXCLUDE REGEX "^/opt/python/")
      set_target_properties(${_target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_directories}")
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL _drop_dead_include_directories)
