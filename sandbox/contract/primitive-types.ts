// How each primitive type of Graph's schema stands in JSON (OData JSON Format 4.01 §7.1).

const WHOLE_NUMBERS: Readonly<Record<string, readonly [number, number]>> = {
  Byte: [0, 255],
  SByte: [-128, 127],
  Int16: [-32_768, 32_767],
  Int32: [-2_147_483_648, 2_147_483_647],
  Int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
}

const TEXT_FORMS: Readonly<Record<string, RegExp>> = {
  Guid: /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i,
  DateTimeOffset:
    /^\d{4}-(?:0\d|1[0-2])-(?:[0-2]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,12})?)?(?:Z|[+-]\d\d:\d\d)$/,
  Date: /^\d{4}-(?:0\d|1[0-2])-(?:[0-2]\d|3[01])$/,
  TimeOfDay: /^(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,12})?)?$/,
  Duration: /^-?P(?=\d|T\d)(?:\d+D)?(?:T(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?$/,
  Binary: /^[\w+/-]*={0,2}$/,
}

/** Test for a primitive type; undefined: it is none. Null is not looked at. */
export function primitiveTest(name: string): ((value: unknown) => boolean) | undefined {
  const range = WHOLE_NUMBERS[name]
  if (range !== undefined) {
    const [least, most] = range
    return (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most
  }
  const form = TEXT_FORMS[name]
  if (form !== undefined) return (value) => typeof value === 'string' && form.test(value)
  switch (name) {
    case 'String':
    case 'string':
      return (value) => typeof value === 'string'
    case 'Boolean':
      return (value) => typeof value === 'boolean'
    case 'Double':
    case 'Single':
    case 'Decimal':
    case 'Number':
    case 'number':
      return (value) => typeof value === 'number' || value === 'INF' || value === '-INF' || value === 'NaN'
    // Bytes have an address of their own and never stand in JSON.
    case 'Stream':
      return () => false
    case 'Map':
      return (value) => typeof value === 'object' && !Array.isArray(value)
    case 'Object':
      return () => true
    default:
      return undefined
  }
}
