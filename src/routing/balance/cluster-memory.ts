/** Members that one cluster can have at a time. */
export const MAX_ENDPOINTS = 256

/** Size of the memory that all threads share of one cluster. workers: threads that serve. */
export const clusterBytes = (workers: number): number => MAX_ENDPOINTS * workers * 8
