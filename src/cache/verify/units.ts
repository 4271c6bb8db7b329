/**
 * Units by name: dimension and how many of its base units one is. SI values by the SI brochure (BIPM, 9th edition); inch,
 * foot, mile, pound and gallon by their legal definitions. A currency is a dimension of its own: rates are not known here.
 */
const table: Readonly<Record<string, string>> = {
  length:
    'mm millimeter millimetre 毫米=0.001|cm centimeter centimetre 厘米 公分=0.01|m meter metre 米=1|km kilometer kilometre kms 公里 千米=1000|mile mi 英里=1609.344|inch in-unit 英寸=0.0254|foot feet ft 英尺=0.3048|yard yd 码=0.9144|里=500',
  mass: 'mg milligram 毫克=0.000001|g gram gr 克=0.001|kg kilo kilogram kgs 千克 公斤=1|斤=0.5|pound lb lbs 磅=0.45359237|ounce oz 盎司=0.028349523125|ton tonne 吨=1000|stone=6.35029318',
  volume:
    'ml milliliter millilitre 毫升=0.001|cl=0.01|l liter litre 升=1|gallon gal 加仑=3.785411784|cup=0.2365882365|tablespoon tbsp=0.01478676478125|teaspoon tsp=0.00492892159375|pint=0.473176473',
  time: 'ms millisecond 毫秒=0.001|s sec second 秒 秒钟=1|min minute mins 分钟=60|h hr hour hrs 小时=3600|day 天=86400|week wk 周 星期=604800',
  months: 'month 个月=1|year yr yrs 年=12|decade=120|century-span=1200',
  data: 'byte b-unit=1|kb kilobyte=1000|mb megabyte meg=1000000|gb gigabyte gig gigs=1000000000|tb terabyte=1000000000000|kib=1024|mib=1048576|gib=1073741824',
  speed: 'kmh km/h kph=1|mph=1.609344|m/s=3.6|knot=1.852',
  celsius: '°c celsius centigrade 摄氏度=1',
  fahrenheit: '°f fahrenheit 华氏度=1',
  kelvin: 'kelvin=1',
  angle: '° degree deg 度=1',
  percent: '% percent percentage pct=1',
  usd: '$ usd dollar buck us$ 美元 美金=1|cent=0.01',
  eur: '€ eur euro 欧元=1',
  gbp: '£ gbp quid 英镑=1',
  jpy: '¥ jpy yen 日元=1',
  inr: '₹ inr rupee rs=1',
  cny: 'cny rmb yuan 元 块 人民币 块钱=1',
  power: 'watt kw-part=1|kw kilowatt=1000|hp=745.7',
  voltage: 'volt=1',
  energy: 'kcal calorie=1|kj=0.239006',
  rate: 'mbps=1|gbps=1000|kbps=0.001|mhz-unit=1',
  frequency: 'hz=1|khz=1000|mhz=1000000|ghz=1000000000',
  pixels: 'px pixel=1|mp megapixel=1000000',
}

export interface Unit {
  readonly dimension: string
  readonly factor: number
}

export const units: ReadonlyMap<string, Unit> = (() => {
  const made = new Map<string, Unit>()
  for (const [dimension, lines] of Object.entries(table)) {
    for (const line of lines.split('|')) {
      const at = line.lastIndexOf('=')
      for (const name of line.slice(0, at).split(' ')) made.set(name, { dimension, factor: Number(line.slice(at + 1)) })
    }
  }
  return made
})()

/** Null = no unit. Plurals by -s and -es are known. */
export const unitOf = (word: string): Unit | null =>
  units.get(word) ??
  (word.endsWith('s') && word.length > 3
    ? (units.get(word.slice(0, -1)) ?? units.get(word.slice(0, -2)) ?? null)
    : null)

const small =
  'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen'.split(
    ' ',
  )
const tens = 'twenty thirty forty fifty sixty seventy eighty ninety'.split(' ')
const ordinals =
  'zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth'.split(
    ' ',
  )

/** Cardinals by name, below 100. */
export const numerals: ReadonlyMap<string, number> = new Map([
  ...small.map((word, value): [string, number] => [word, value]),
  ...tens.map((word, index): [string, number] => [word, (index + 2) * 10]),
  ['dozen', 12],
  ['once', 1],
  ['twice', 2],
  ['thrice', 3],
  ['half', 0.5],
  ['quarter', 0.25],
])
export const ordinalWords: ReadonlyMap<string, number> = new Map(ordinals.map((word, value) => [word, value]))

/** Roman numerals that are no other word: in capitals only. */
export const romans: ReadonlyMap<string, number> = new Map([
  ['II', 2],
  ['III', 3],
  ['IV', 4],
  ['VI', 6],
  ['VII', 7],
  ['VIII', 8],
  ['IX', 9],
  ['XI', 11],
  ['XII', 12],
  ['XIII', 13],
  ['XIV', 14],
  ['XV', 15],
  ['XVI', 16],
])

/** Multiply what stands before them. */
export const magnitudes: ReadonlyMap<string, number> = new Map([
  ['hundred', 100],
  ['thousand', 1e3],
  ['k', 1e3],
  ['lakh', 1e5],
  ['lakhs', 1e5],
  ['lac', 1e5],
  ['million', 1e6],
  ['millions', 1e6],
  ['mn', 1e6],
  ['crore', 1e7],
  ['crores', 1e7],
  ['billion', 1e9],
  ['bn', 1e9],
  ['trillion', 1e12],
  ['万', 1e4],
  ['亿', 1e8],
  ['千', 1e3],
  ['百', 100],
])

const digitsZh = '零一二三四五六七八九'
const stepsZh: Readonly<Record<string, number>> = { 十: 10, 百: 100, 千: 1_000 }

/** Value of a run of Chinese numerals such as 一百二十, 两, 二〇二六; NaN = none. */
export const numeralZh = (run: string): number => {
  let total = 0
  let part = 0
  let digit = -1
  let plain = ''
  for (const character of run) {
    const value = character === '两' ? 2 : character === '〇' ? 0 : digitsZh.indexOf(character)
    if (value >= 0) {
      plain += String(value)
      digit = value
    } else if (stepsZh[character] !== undefined) {
      part += (digit < 0 ? 1 : digit) * stepsZh[character]
      digit = -1
    } else if (character === '万' || character === '亿') {
      total = (total + part + Math.max(digit, 0)) * (character === '万' ? 1e4 : 1e8)
      part = 0
      digit = -1
    } else return Number.NaN
  }
  return plain.length === run.length && run.length > 1 ? Number(plain) : total + part + Math.max(digit, 0)
}
