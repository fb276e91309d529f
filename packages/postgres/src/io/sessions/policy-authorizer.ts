import type { Authorizer } from '@tidewire/server'
import { authorizeByPolicies, type AuthorizerOptions } from '../../messages/authorizer.ts'
import { loadJoinPolicies } from '../catalog/join-policies.ts'
import { nodeRuntime } from '../node-runtime.ts'

/** The sessions that policies are asked on, and how many there are. */
export type PolicyAuthorizerOptions = Pick<AuthorizerOptions, 'sessions' | 'withSession'>

/** The authorizer on Node's clock. */
export function policyAuthorizer(options: PolicyAuthorizerOptions): Authorizer {
  return authorizeByPolicies({ ...options, loadPolicies: () => options.withSession(loadJoinPolicies), runtime: nodeRuntime })
}
