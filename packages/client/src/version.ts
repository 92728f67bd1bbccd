/** Version of the SDK, told to brokers so that their operators can see who is connected (KIP-511). */
export const version = '0.1.0'
