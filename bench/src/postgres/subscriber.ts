import type { Claims } from '@tidewire/server'

/** The user with this number, as SQL's `('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid`. */
export function subscriberId(number: number): string {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`
}

/** What a token of a hosted login says: about 600 B. */
export function subscriberClaims(number: number): Claims {
  return {
    aud: 'authenticated',
    exp: 4_000_000_000,
    iat: 1_700_000_000,
    iss: 'https://auth.example.com/auth/v1',
    sub: subscriberId(number),
    email: `user-${number}@example.com`,
    phone: '',
    app_metadata: { provider: 'email', providers: ['email'] },
    user_metadata: { email: `user-${number}@example.com`, email_verified: true, phone_verified: false, full_name: `User ${number}` },
    role: 'authenticated',
    aal: 'aal1',
    amr: [{ method: 'password', timestamp: 1_700_000_000 }],
    session_id: `7c9e6679-7425-40de-944b-${number.toString(16).padStart(12, '0')}`,
    is_anonymous: false,
  }
}
