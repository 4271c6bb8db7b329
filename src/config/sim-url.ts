/** Where the simulated provider answers: inside the process, so the URL is only a name. */
export const SIM_BASE_URL = 'http://sim.internal/v1'
