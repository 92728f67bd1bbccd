import {
  api,
  array,
  bool,
  int8,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/**
 * Raises or lowers levels of features of the whole cluster (KIP-584). v1 can check only (KIP-778), v2
 * answers for all of them at once.
 */
export const updateFeatures = api(57, 'UpdateFeatures', {
  request: message(
    { versions: '0-2', flexible: '0+' },
    {
      timeoutMs: int32({ default: 60000 }),
      featureUpdates: array({
        feature: string(),
        maxVersionLevel: int16(),
        allowDowngrade: bool({ versions: '0' }),
        upgradeType: int8({ versions: '1+', default: 1 }),
      }),
      validateOnly: bool({ versions: '1+', default: false }),
    },
  ),
  response: message(
    { versions: '0-2', flexible: '0+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: '0+' }),
      results: array(
        {
          feature: string(),
          errorCode: int16(),
          errorMessage: string({ nullable: '0+' }),
        },
        { versions: '0-1', ignorable: true },
      ),
    },
  ),
})

export type UpdateFeaturesRequest = Message<typeof updateFeatures.request>
export type UpdateFeaturesResponse = Message<typeof updateFeatures.response>
export type UpdateFeaturesRequestInput = MessageInput<typeof updateFeatures.request>
export type UpdateFeaturesResponseInput = MessageInput<typeof updateFeatures.response>
