// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {X402Permit2Proxy} from "./X402Permit2Proxy.sol";
import {IX402ExactPermit2Proxy, IX402Permit2Proxy} from "./interfaces/IX402Permit2Proxies.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";

/// @title X402ExactPermit2Proxy
/// @notice Settles x402 payments of an exact amount. {IX402ExactPermit2Proxy} is the documentation.
contract X402ExactPermit2Proxy is X402Permit2Proxy, IX402ExactPermit2Proxy {
    /// @inheritdoc IX402Permit2Proxy
    bytes32 public constant WITNESS_TYPEHASH = keccak256("Witness(address to,uint256 validAfter)");

    /// @inheritdoc IX402Permit2Proxy
    string public constant WITNESS_TYPE_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)";

    constructor(address permit2) X402Permit2Proxy(permit2) {}

    /// @inheritdoc IX402ExactPermit2Proxy
    function settle(
        PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        settleExactly(permit, owner, witness, signature);
        emit Settled();
    }

    /// @inheritdoc IX402ExactPermit2Proxy
    function settleWithPermit(
        EIP2612Permit calldata permit2612,
        PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        givePermit(permit2612, permit.permitted, owner);
        settleExactly(permit, owner, witness, signature);
        emit SettledWithPermit();
    }

    function settleExactly(
        PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) private {
        bytes32 witnessHash = EfficientHashLib.hash(
            WITNESS_TYPEHASH, bytes32(uint256(uint160(witness.to))), bytes32(witness.validAfter)
        );
        settlePayment(permit, permit.permitted.amount, owner, witness.to, witness.validAfter, witnessHash, signature);
    }

    function writeWitnessType(uint256 at) internal pure override {
        assembly ("memory-safe") {
            mstore(at, 100)
            mstore(add(at, 0x20), "Witness witness)TokenPermissions")
            mstore(add(at, 0x40), "(address token,uint256 amount)Wi")
            mstore(add(at, 0x60), "tness(address to,uint256 validAf")
            mstore(add(at, 0x80), "ter)")
        }
    }
}
