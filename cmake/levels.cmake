# Instruction-set levels: src/kernels/x86/*_LEVEL.c and arm/*_LEVEL.c are compiled for their level alone and for their architecture alone. What a level needs at
# run time is in src/kernels/cpu.c. Link-time optimisation must not mix them: nothing with flags of a level may be inlined elsewhere.
set(qwren_level_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(qwren_level_avxvnni ${qwren_level_avx2} -mavxvnni)
set(qwren_level_avx512 ${qwren_level_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512vbmi -mprefer-vector-width=512)
set(qwren_level_avx512bf16 ${qwren_level_avx512} -mavx512bf16)
set(qwren_level_neon -march=armv8.2-a+dotprod)
set(qwren_level_i8mm -march=armv8.2-a+dotprod+i8mm)

# qwren_levels(LIST_OF_SOURCES): takes the files of other architectures out of the list, and sets the flags of the rest.
function(qwren_levels list)
    set(sources ${${list}})
    if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
        list(FILTER sources EXCLUDE REGEX "/src/kernels/x86/")
    endif()
    if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
        list(FILTER sources EXCLUDE REGEX "/src/kernels/arm/")
    endif()
    set(extra "")
    if(CMAKE_C_FLAGS MATCHES "-fsanitize") # keeps gcc from unrolling what it is told to unroll; the warning that says so has no name
        set(extra -Wno-error)
    endif()
    foreach(source ${sources})
        if(source MATCHES "/src/kernels/(x86|arm)/[a-z0-9]+_([a-z0-9]+)\\.c$")
            set(options "${qwren_level_${CMAKE_MATCH_2}};${extra}")
            # gcc 12 loses a mask there across what the thread sanitizer inserts, with this file alone; it starts no threads
            if(CMAKE_C_FLAGS MATCHES "-fsanitize=thread" AND source MATCHES "/q8quantize_avx512\\.c$")
                list(APPEND options -fno-sanitize=thread)
            endif()
            set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${options}")
        endif()
    endforeach()
    set(${list} ${sources} PARENT_SCOPE)
endfunction()
