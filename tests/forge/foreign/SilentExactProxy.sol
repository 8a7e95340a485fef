// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IX402ExactPermit2Proxy, IX402Permit2Proxy} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {ISignatureTransfer} from "permit2/interfaces/ISignatureTransfer.sol";

/// @title SilentExactProxy
/// @notice Settles as x402's own proxy for the scheme `exact` does: the same calls, the same message to sign, and an event
/// that says nothing. That one's code is in no package.
contract SilentExactProxy {
    ISignatureTransfer private constant PERMIT2 = ISignatureTransfer(0x000000000022D473030F116dDEE9F6B43aC78BA3);
    bytes32 private constant WITNESS_TYPEHASH = keccak256("Witness(address to,uint256 validAfter)");
    string private constant WITNESS_TYPE =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)";

    event Settled();

    error PaymentTooEarly();

    function settle(
        IX402Permit2Proxy.PermitTransferFrom calldata permit,
        address owner,
        IX402ExactPermit2Proxy.Witness calldata witness,
        bytes calldata signature
    ) external {
        // forge-lint: disable-next-line(block-timestamp)
        if (block.timestamp < witness.validAfter) revert PaymentTooEarly();
        ISignatureTransfer.PermitTransferFrom memory asked = ISignatureTransfer.PermitTransferFrom({
            permitted: ISignatureTransfer.TokenPermissions({
                token: permit.permitted.token, amount: permit.permitted.amount
            }),
            nonce: permit.nonce,
            deadline: permit.deadline
        });
        ISignatureTransfer.SignatureTransferDetails memory details =
            ISignatureTransfer.SignatureTransferDetails({to: witness.to, requestedAmount: permit.permitted.amount});
        bytes32 hash = keccak256(abi.encode(WITNESS_TYPEHASH, witness.to, witness.validAfter));
        PERMIT2.permitWitnessTransferFrom(asked, details, owner, hash, WITNESS_TYPE, signature);
        emit Settled();
    }
}
