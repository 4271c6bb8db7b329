// Knows providers by name (presets) and models by name (facts and prices).
// It sends nothing and knows no operator's settings: upstream does the calling, config the reading.
// Contract: ProviderPreset and ModelFacts in src/contracts/config.ts.
export { PRESETS } from './presets.ts'
export { modelFacts, modelPrices } from './models.ts'
