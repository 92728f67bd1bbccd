import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, test } from 'vitest'
import { apis } from './apis.ts'
import { decodeRequest, decodeRequestHeader, decodeResponse, encodeRequest, encodeResponse } from './codec.ts'
import { frameOf } from './testing/frame-of.ts'
import { anyMessage } from './testing/message-arbitrary.ts'

const runsPerVersion = 25

describe.each(apis.map((api) => [api.name, api] as const))('%s', (_name, api) => {
  const { request, response } = api

  test('a request of any version is decoded to what was encoded', () => {
    for (let version = request.minVersion; version <= request.maxVersion; version++) {
      fc.assert(
        fc.property(
          anyMessage(request, version),
          fc.integer(),
          fc.option(fc.string()),
          (body, correlationId, clientId) => {
            const frame = frameOf(encodeRequest(api, version, { correlationId, clientId }, body))
            const { header, bodyOffset } = decodeRequestHeader(frame)
            assert.deepEqual(header, { apiKey: api.key, apiVersion: version, correlationId, clientId })
            assert.deepEqual(decodeRequest(api, version, frame, bodyOffset), body)
          },
        ),
        { numRuns: runsPerVersion },
      )
    }
  })

  test('a response of any version is decoded to what was encoded', () => {
    for (let version = response.minVersion; version <= response.maxVersion; version++) {
      fc.assert(
        fc.property(anyMessage(response, version), fc.integer(), (body, correlationId) => {
          // Error 35 in an ApiVersions response announces version 0 of its body.
          fc.pre(!(api.name === 'ApiVersions' && (body as { errorCode: number }).errorCode === 35))
          const frame = frameOf(encodeResponse(api, version, correlationId, body))
          assert.deepEqual(decodeResponse(api, version, frame), { correlationId, body })
        }),
        { numRuns: runsPerVersion },
      )
    }
  })
})
