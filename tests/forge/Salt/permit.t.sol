// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {SaltTest} from "./SaltTest.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @notice The permit is OpenZeppelin's; this is about its domain, its type and its order.
contract Salt_permit is SaltTest {
    function testFuzz_permit_givesTheAllowance_once(address spender, uint256 value) external {
        vm.assume(spender != address(0));
        (uint8 v, bytes32 r, bytes32 s) = split(signed(spender, value, NOW));

        token.permit(holder.addr, spender, value, NOW, v, r, s);

        assertEq(token.allowance(holder.addr, spender), value);
        assertEq(token.nonces(holder.addr), 1);
        vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
        token.permit(holder.addr, spender, value, NOW, v, r, s);
    }

    function test_permit_reverts_afterItsDeadline() external {
        (uint8 v, bytes32 r, bytes32 s) = split(signed(payee, 1, NOW - 1));

        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, NOW - 1));
        token.permit(holder.addr, payee, 1, NOW - 1, v, r, s);
    }

    function signed(address spender, uint256 value, uint256 deadline) private view returns (bytes memory) {
        return sign(
            holder.privateKey,
            domainSeparator(address(token), block.chainid),
            keccak256(
                abi.encode(
                    keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                    holder.addr,
                    spender,
                    value,
                    token.nonces(holder.addr),
                    deadline
                )
            )
        );
    }
}
