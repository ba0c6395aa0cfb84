// What Node's parser lets through and a proxy before us could read in another way (WS-7). Everything else - two lengths, length and chunks, folded
// lines, bare LF - it refuses itself, as long as nobody asks it to be lenient.
import type { RequestHandler } from 'express'
import { Problem } from './problem.ts'

const MAX_HEADERS = 100

export const refuseDubiousHttp: RequestHandler = (request, response, next) => {
  const { httpVersion, rawHeaders, headers } = request
  const hosts = rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host').length
  const isKnownVersion = httpVersion === '1.1' || (httpVersion === '1.0' && headers['transfer-encoding'] === undefined) // RFC 9112 §6.1
  // RFC 9112 §3.2. And Node would drop headers above a number of its own without a word.
  if (isKnownVersion && hosts <= 1 && rawHeaders.length <= 2 * MAX_HEADERS) {
    next()
    return
  }
  response.set('Connection', 'close')
  next(new Problem('malformed-request'))
}
