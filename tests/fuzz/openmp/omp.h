/* The OpenMP functions this repository calls. clang cannot read g++'s omp.h, and its own comes in a package that only
   fuzzing would need; the functions themselves are in g++'s run-time. */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
int omp_get_max_threads(void);
int omp_get_num_threads(void);
int omp_get_thread_num(void);
int omp_in_parallel(void);
void omp_set_num_threads(int);
#ifdef __cplusplus
}
#endif
