// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {X402Permit2Proxy} from "./X402Permit2Proxy.sol";
import {IX402Permit2Proxy, IX402UptoPermit2Proxy} from "./interfaces/IX402Permit2Proxies.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";

/// @title X402UptoPermit2Proxy
/// @notice Settles x402 payments of what was used, up to an amount. {IX402UptoPermit2Proxy} is the documentation.
contract X402UptoPermit2Proxy is X402Permit2Proxy, IX402UptoPermit2Proxy {
    /// @inheritdoc IX402Permit2Proxy
    bytes32 public constant WITNESS_TYPEHASH = keccak256("Witness(address to,address facilitator,uint256 validAfter)");

    /// @inheritdoc IX402Permit2Proxy
    string public constant WITNESS_TYPE_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)";

    constructor(address permit2) X402Permit2Proxy(permit2) {}

    /// @inheritdoc IX402UptoPermit2Proxy
    function settle(
        PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        requireChoice(permit, amount, witness);
        settleUpto(permit, amount, owner, witness, signature);
        emit Settled();
    }

    /// @inheritdoc IX402UptoPermit2Proxy
    function settleWithPermit(
        EIP2612Permit calldata permit2612,
        PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        requireChoice(permit, amount, witness);
        givePermit(permit2612, permit.permitted, owner);
        settleUpto(permit, amount, owner, witness, signature);
        emit SettledWithPermit();
    }

    function settleUpto(
        PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) private {
        bytes32 witnessHash = EfficientHashLib.hash(
            WITNESS_TYPEHASH,
            bytes32(uint256(uint160(witness.to))),
            bytes32(uint256(uint160(witness.facilitator))),
            bytes32(witness.validAfter)
        );
        settlePayment(permit, amount, owner, witness.to, witness.validAfter, witnessHash, signature);
    }

    function writeWitnessType(uint256 at) internal pure override {
        assembly ("memory-safe") {
            mstore(at, 120)
            mstore(add(at, 0x20), "Witness witness)TokenPermissions")
            mstore(add(at, 0x40), "(address token,uint256 amount)Wi")
            mstore(add(at, 0x60), "tness(address to,address facilit")
            mstore(add(at, 0x80), "ator,uint256 validAfter)")
        }
    }

    /// @dev The amount is the facilitator's choice, up to what the payer permitted.
    function requireChoice(PermitTransferFrom calldata permit, uint256 amount, Witness calldata witness) private view {
        if (amount > permit.permitted.amount) revert AmountExceedsPermitted();
        if (msg.sender != witness.facilitator) revert UnauthorizedFacilitator();
    }
}
