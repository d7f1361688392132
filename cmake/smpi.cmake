# Building for SimGrid's simulated MPI (docs/scaling.md): all ranks are contexts of one process, in which smpimain
# opens the program as a shared object, once per rank, so that each has globals of its own. Done without the
# wrapper smpicc, so that the compiler is anybody's choice.
find_path(SMPI_INCLUDE_DIR smpi/mpi.h REQUIRED)
find_library(SIMGRID_LIBRARY simgrid REQUIRED)

add_library(smpi INTERFACE)
target_include_directories(smpi SYSTEM INTERFACE ${SMPI_INCLUDE_DIR} ${SMPI_INCLUDE_DIR}/smpi)
target_link_libraries(smpi INTERFACE ${SIMGRID_LIBRARY})
add_library(MPI::MPI_C ALIAS smpi)

target_compile_options(caucus_build INTERFACE "SHELL:-include ${CMAKE_SOURCE_DIR}/cmake/smpi_clocks.h")
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# caucus_program(NAME SOURCES …): what smpirun runs.
function(caucus_program name)
    add_library(${name} MODULE ${ARGN} ${CMAKE_SOURCE_DIR}/cmake/smpi_entry.c)
    set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX "")
    target_link_options(${name} PRIVATE -Wl,-z,defs -Wl,-e,smpi_entry)
endfunction()
