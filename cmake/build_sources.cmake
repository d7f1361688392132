# cmake -DROOT=FOLDER -DOUTPUT=FILE.c -P build_sources.cmake: writes the hash of all sources of the program, which is
# how ranks of different builds recognise each other. Included, makes that file part of a library:
# caucus_build_sources(LIBRARY). A source that comes later is not among its dependencies, but whoever includes or lists
# it is.
function(find_sources root list_out)
    set(patterns ${root}/main.c)
    foreach(folder base kernels modelfile cluster kvshard worker coordinator coordinator/tokenizer)
        list(APPEND patterns ${root}/${folder}/*.[ch] ${root}/${folder}/*.proto)
    endforeach()
    file(GLOB files ${patterns})
    list(SORT files)
    set(${list_out} ${files} PARENT_SCOPE)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE)
    find_sources(${ROOT} files)
    foreach(file IN LISTS files)
        file(SHA256 ${file} hash)
        string(APPEND hashes ${hash})
    endforeach()
    string(SHA256 hash ${hashes})
    file(WRITE ${OUTPUT} "#include \"base/build_sources.h\"\n\nconst char build_sources[] = \"sources ${hash}\";\n")
endif()

function(caucus_build_sources library)
    find_sources(${CMAKE_SOURCE_DIR} files)
    set(script ${CMAKE_SOURCE_DIR}/cmake/build_sources.cmake)
    set(output ${CMAKE_BINARY_DIR}/generated/base/build_sources.c)
    add_custom_command(
        OUTPUT ${output}
        COMMAND ${CMAKE_COMMAND} -DROOT=${CMAKE_SOURCE_DIR} -DOUTPUT=${output} -P ${script}
        DEPENDS ${files} ${script}
        VERBATIM)
    target_sources(${library} PRIVATE ${output})
endfunction()
