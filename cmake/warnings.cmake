# qwren_warnings(TARGET [STRICT]): what every file must compile without. STRICT adds the conversions; tests are spared those.
function(qwren_warnings target)
    target_compile_options(${target} PRIVATE
        -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
        -ffp-contract=off # a*b+c is rounded twice everywhere, so that kernels can be compared to the bit
        -fno-math-errno   # sqrt without a call; NaN and infinity keep their meaning
    )
    if("STRICT" IN_LIST ARGN)
        target_compile_options(${target} PRIVATE -Wconversion -Wcast-qual)
    endif()
    if(QWREN_WERROR)
        target_compile_options(${target} PRIVATE -Werror)
    endif()
endfunction()
